"""Make the pictures of masks.md, results.md and first-night.md: run their blocks, take what these draw.

``python docs/make_pictures.py``, or with the names of pages: only theirs.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
PICTURES = {  # of each page, what its blocks draw and the name here
    "masks.md": {"color.png": "color.png"},
    "results.md": {"result.png": "result.png"},
    "first-night.md": {
        "water_color.png": "night-color.png",
        "water.png": "night-g2.png",
        "water_tau.png": "night-tau.png",
    },
}
WIDTH = 900  # small files


def main():
    """Write the pictures into docs/img."""
    tests = DOCS.parent / "tests"
    sys.path[:0] = [str(tests / "docs"), str(tests)]
    from test_docs import run_document

    for document in sys.argv[1:] or PICTURES:
        with tempfile.TemporaryDirectory() as folder:
            run_document((DOCS / document).read_text(encoding="utf-8"), Path(folder))
            for drawn, name in PICTURES[document].items():
                with Image.open(Path(folder) / drawn) as picture:
                    size = WIDTH, picture.height * WIDTH // picture.width
                    small = picture.convert("RGB").resize(size, Image.LANCZOS)
                # the palette of largest coverage keeps the few pixels of a legend as they are
                few = small.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
                few.save(DOCS / "img" / name, optimize=True)
                print(DOCS / "img" / name)


if __name__ == "__main__":
    main()
