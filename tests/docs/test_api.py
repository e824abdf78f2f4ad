"""docs/api.md: what users may import is on it. `make docs` holds the rest: what the page names is there."""

import importlib
import re

import pytest

FACES = ["parcorana", "parcorana.curves", "parcorana.events.simulated", "parcorana.fits", "parcorana.reference"]
SHIPPED = ["parcorana.userg2", "parcorana.multitau", "parcorana.twotime", "parcorana.photons", "parcorana.kernels"]
DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)(\w+):: ([\w.]+)\n(?:   :members: (.+))?", re.MULTILINE)


@pytest.fixture(scope="module")
def on_the_page(root):
    text = (root / "docs" / "api.md").read_text(encoding="utf-8")
    found = set()
    for kind, name, members in DIRECTIVE.findall(text):
        found |= {f"{name}.{member}" for member in members.split(", ")} if kind == "module" else {name}
    return found


def names_of(module):
    """Return what a module offers: by its `__all__`, or its own functions and classes."""
    made_here = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return getattr(module, "__all__", [name for name in made_here if name[0] != "_"])


@pytest.mark.parametrize("name", FACES + SHIPPED)
def test_every_public_name_is_on_the_page(name, on_the_page):
    names = {f"{name}.{each}" for each in names_of(importlib.import_module(name))}
    assert names
    assert not names - on_the_page
