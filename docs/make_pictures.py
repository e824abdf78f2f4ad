"""Make the pictures of the pages named below: run their blocks, take what these draw; and draw what none draws.

``python docs/make_pictures.py``, or with the names of pages: only theirs.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from parcorana.correlation.delays import make_multitau_delays, multitau_levels
from parcorana.view.pictures import PALETTE, shown

DOCS = Path(__file__).resolve().parent
PICTURES = {  # of each page, what its blocks draw and the name here
    "masks.md": {"color.png": "color.png"},
    "results.md": {"result.png": "result.png"},
    "first-night.md": {
        "water_color.png": "night-color.png",
        "water.png": "night-g2.png",
        "water_tau.png": "night-tau.png",
    },
    "watch.md": {"page.html": "watch.png"},
    "correlations.md": {"twotime.png": "two-time.png", "contrast.png": "contrast.png"},
}
WIDTH = 900  # small files


def smoothing(delays, level, tau):
    """Return by how much means over 2^level pulses raise exp(-delay / tau).

    Between two frames of w pulses, further apart than w, it is the mean over all
    pairs of their pulses: exp(-delay / tau) (sinh(w / 2 tau) / (w sinh(1 / 2 tau)))^2.
    """
    width = 2.0**level
    raised = np.sinh(width / (2 * tau)) / (width * np.sinh(1 / (2 * tau)))
    return np.exp(-delays / tau) * (raised**2 - 1)


def draw_smoothing(path):
    """Draw it over the delay, for two numbers of channels and decay times that meet the levels everywhere."""
    with shown(path, size=(7, 4)) as figure:
        axes = figure.add_subplot()
        for channels, paint in ((8, PALETTE[0]), (16, PALETTE[1])):
            delays = np.array(make_multitau_delays(10_000, channels))
            level = multitau_levels(delays, channels)
            for tau in np.geomspace(500, 1000, 8, endpoint=False):
                label = f"{channels} channels" if tau == 500 else None
                axes.plot(delays / tau, 1e3 * smoothing(delays, level, tau), ".", ms=4, color=paint, label=label)
        axes.axhline(2, color="0.6", lw=0.7)
        axes.set(xscale="log", xlim=(0.03, 10), ylim=(0, 2.2), xlabel="delay / decay time")
        axes.set_ylabel("too large by, in thousandths of the contrast")
        axes.legend()


def photographed(page):
    """Return the picture that Chromium takes of the top of a page."""
    picture = page.with_suffix(".png")
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-sync", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"]
        command += ["--hide-scrollbars", "--window-size=1400,1500", "--virtual-time-budget=20000"]
        subprocess.run([*command, f"--screenshot={picture}", page.as_uri()], check=True, timeout=120)
    return picture.name


def main():
    """Write the pictures into docs/img."""
    tests = DOCS.parent / "tests"
    sys.path[:0] = [str(tests / "docs"), str(tests)]
    from test_docs import run_document

    draw_smoothing(DOCS / "img" / "smoothing.png")
    for document in sys.argv[1:] or PICTURES:
        with tempfile.TemporaryDirectory() as folder:
            run_document((DOCS / document).read_text(encoding="utf-8"), Path(folder))
            for drawn, name in PICTURES[document].items():
                if drawn.endswith(".html"):
                    drawn = photographed(Path(folder) / drawn)
                with Image.open(Path(folder) / drawn) as picture:
                    size = WIDTH, picture.height * WIDTH // picture.width
                    small = picture.convert("RGB").resize(size, Image.LANCZOS)
                # the palette of largest coverage keeps the few pixels of a legend as they are
                few = small.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
                few.save(DOCS / "img" / name, optimize=True)
                print(DOCS / "img" / name)


if __name__ == "__main__":
    main()
