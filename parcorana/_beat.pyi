# Private: the package's own modules check what they give it.
from typing import Any

def __getattr__(name: str) -> Any: ...
