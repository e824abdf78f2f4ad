"""Make the pictures of masks.md and results.md: run their blocks, take what these draw.

``python docs/make_pictures.py``
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
PICTURES = {"masks.md": ["color.png"], "results.md": ["result.png"]}
WIDTH = 900  # small files


def main():
    """Write the pictures into docs/img."""
    sys.path.insert(0, str(DOCS.parent / "tests"))
    from test_docs import run_document

    for document, names in PICTURES.items():
        with tempfile.TemporaryDirectory() as folder:
            run_document((DOCS / document).read_text(encoding="utf-8"), Path(folder))
            for name in names:
                with Image.open(Path(folder) / name) as picture:
                    size = WIDTH, picture.height * WIDTH // picture.width
                    small = picture.convert("RGB").resize(size, Image.LANCZOS)
                # the palette of largest coverage keeps the few pixels of a legend as they are
                few = small.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
                few.save(DOCS / "img" / name, optimize=True)
                print(DOCS / "img" / name)


if __name__ == "__main__":
    main()
