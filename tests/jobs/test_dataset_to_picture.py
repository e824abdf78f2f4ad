"""From a dataset to mask, colours, run and picture with the documented commands, for three kinds of detectors."""

import csv
import importlib.util
import math
from itertools import pairwise
from pathlib import Path

import h5py
import matplotlib.image
import numpy as np
import pytest
from conftest import run_command
from xtc2 import write_run

from parcorana.detector.geometry import KEV_ANGSTROM
from parcorana.tools import maskcolor, plot

has_psana = importlib.util.find_spec("psana") is not None
needs_psana = pytest.mark.skipif(not has_psana, reason="psana of LCLS-II is not installed")

EVENTS = 6
CONFIG = """\
from parcorana.userg2 import G2IncrementalAccumulator

system_params = {{
    "dataset": {dataset!r},
    "src": {src!r},
    "mask": "edited_mask_ndarrCoords.npy",
    "testmask": "first_testmask_ndarrCoords.npy",
    "times": 4,
    "delays": [1, 2, 3],
    "user_class": G2IncrementalAccumulator,
    "h5output": "result.h5",
}}
user_params = {{
    "color": "first_color_ndarrCoords.npy",
    "finecolor": "first_finecolor_ndarrCoords.npy",
    "save_arrays": False,
    "picture": True,
}}
"""


def data_file(name):
    return Path(importlib.util.find_spec("psana").origin).parent / "pscalib/geometry/data" / name


def rotation(axis, degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array({"z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
                     "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
                     "x": [[1, 0, 0], [0, c, -s], [0, s, c]]}[axis])  # fmt: skip


def positions(path, segment, local):
    """Return x, y, z of all elements from a geometry file, by rotation matrices: (segments, rows, columns, 3) [um]."""
    rows = [line.split() for line in path.read_text().splitlines() if line.strip() and line[0] != "#"]
    frames = {}
    for parent, parent_index, name, index, *numbers in rows:
        x0, y0, z0, *angles = map(float, numbers)
        if parent.startswith("IP"):
            z0 = -abs(z0)  # against the beam
        turn = [angles[k] + angles[k + 3] for k in range(3)]
        matrix = rotation("x", turn[2]) @ rotation("y", turn[1]) @ rotation("z", turn[0])
        frames[name, index] = (parent, parent_index), matrix, np.array([x0, y0, z0])
    all_segments = []
    for k in range(sum(name == segment for name, _ in frames)):
        points, key = local, (segment, str(k))
        while key in frames:
            key, matrix, offset = frames[key]
            points = points @ matrix.T + offset
        all_segments.append(points)
    return np.stack(all_segments)


def grid(along_rows, along_columns):
    """Return local positions (rows, columns, 3): y changes from row to row, x from column to column."""
    x, y = np.meshgrid(along_columns, along_rows)
    return np.stack([x, y, np.zeros_like(x)], axis=-1)


def cspad():
    right = np.arange(194) * 109.92 + 274.8 - 109.92 / 2
    rows = (92 - np.arange(185)) * 109.92
    return positions(data_file("geometry-def-cspad.data"), "SENS2X1:V1", grid(rows, np.r_[-right[::-1], right]))


def jungfrau():
    columns, rows = ((np.arange(n) - (n - 1) / 2) * 75 for n in (1024, 512))
    # two pixels wide gaps between chips; pixels at the gaps are twice as wide
    columns += (np.arange(1024) // 256 - 1.5) * 150
    rows += (np.arange(512) // 256 - 0.5) * 150
    for axis, edges in ((columns, (255, 511, 767)), (rows, (255,))):
        for edge in edges:
            axis[edge] += 37.5
            axis[edge + 1] -= 37.5
    return positions(data_file("geometry-def-jungfrau05M.data"), "JUNGFRAU:V2", grid(rows, columns))


def plain():
    rows, columns = np.indices((96, 128)) * 50.0
    return np.stack([rows, columns, np.full(rows.shape, -1e6)], axis=-1)


def true_q(xyz, center_um, distance_um, energy):
    """Return |k_out - k_in| of each element from vectors; the beam goes along -z."""
    x, y = (xyz[..., k] - center_um[k] for k in (0, 1))
    downstream = distance_um - (xyz[..., 2] - xyz[..., 2].mean())
    out = np.stack([x, y, downstream], axis=-1)
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    return 2 * np.pi * energy / KEV_ANGSTROM * np.linalg.norm(out - [0, 0, 1], axis=-1)


def frames(shape):
    """Counts that change from event to event, but for a dead element; and a hot one."""
    base = np.random.default_rng(0).poisson(20, shape).astype(np.uint16)
    data = base + np.array([0, 3, 1, 2, 5, 4], np.uint16).reshape(-1, *[1] * len(shape))
    data.reshape(EVENTS, -1)[:, 5000] = 7
    data.reshape(EVENTS, -1)[:, 6000] += 900
    return data


def xtc2(folder, shape, kind):
    write_run(folder / "xtc", frames(shape), 10**18 + np.arange(EVENTS) * 8_333_333, kind=kind)
    return "exp=tstx00126:run=7:dir=xtc", "mydet"


def hdf5(folder, shape, kind):
    with h5py.File(folder / "frames.h5", "w") as file:
        file["run/frames"] = frames(shape)
    return "h5=frames.h5", "run/frames"


# writer, shape, kind, positions, options of the geometry, pixel [um], beam (row, column), distance [mm]
CASES = {
    "cspad": (xtc2, (32, 185, 388), "cspad", cspad, lambda: ["-g", str(data_file("geometry-def-cspad.data"))],
              109.92, (985.3, 961.8), None),
    "jungfrau": (xtc2, (1, 512, 1024), "jungfrau", jungfrau, lambda: ["--distance", "5000"], 75, None, 5000),
    "plain": (hdf5, (96, 128), "", plain, lambda: ["--pixel", "50", "--distance", "2000"], 50, (40.5, 70), 2000),
}  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(n, marks=[needs_psana] * (n != "plain")) for n in CASES])
def test_dataset_to_picture(case, tmp_path, monkeypatch, capsys):
    write, shape, kind, where, options, pixel, beam, distance = CASES[case]
    dataset, src = write(tmp_path, shape, kind)
    shape = shape[1:] if shape[0] == 1 else shape

    monkeypatch.chdir(tmp_path)
    own = {"env": {"PYTHONWARNINGS": "default"}} if kind else {}  # what psana brings along warns

    def tool(*args):
        if kind and "-d" in args:  # psana: one process for each command, as for a user
            done = run_command("parCorAnaMaskColorTool", *args, cwd=tmp_path, **own)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout
        assert maskcolor.main([str(arg) for arg in args]) == 0
        return capsys.readouterr().out

    rings = ["--by", "q", "-c", "5", "--finecolor", "15", "--sectors", "2", "--energy", "9.5", "--dead", "--hot"]
    center = ["--center", f"{beam[0]},{beam[1]}"] if beam else []
    said = tool(
        "start", "-d", dataset, "-s", src, "-n", EVENTS, "-b", "first", *options(), *rings, *center, "--edges", "1"
    )
    assert f"average: {EVENTS} events of {'x'.join(map(str, shape))} elements" in said

    # the files, and what they hold
    mask = np.load(tmp_path / "first_mask_ndarrCoords.npy")
    color, fine = (np.load(tmp_path / f"first_{name}_ndarrCoords.npy") for name in ("color", "finecolor"))
    average = np.load(tmp_path / "first_avg_ndarrCoords.npy")
    iX, iY = (np.load(tmp_path / f"first_{name}.npy") for name in ("iX", "iY"))
    np.testing.assert_allclose(average, frames(shape).mean(axis=0), rtol=1e-14)
    expected = np.zeros(shape, np.int8)
    expected[..., 1:-1, 1:-1] = 1
    expected.ravel()[[5000, 6000]] = 0
    assert np.array_equal(mask, expected)
    test = np.load(tmp_path / "first_testmask_ndarrCoords.npy")
    low, high = np.quantile(average[mask == 1], (0.94, 0.96))
    assert test.sum() == 10 and np.all(mask[test == 1])
    assert np.all((average[test == 1] >= low) & (average[test == 1] <= high))

    # the rings are where the geometry says
    xyz = where().reshape(*shape, 3)
    low = xyz[..., :2].reshape(-1, 2).min(axis=0)
    middle = (0.0, 0.0) if beam is None else tuple(low + np.array(beam) * pixel)
    if case == "plain":
        middle = beam[0] * pixel, beam[1] * pixel
    q = true_q(xyz, middle, distance * 1e3 if distance else -xyz[..., 2].mean(), 9.5)
    inside = q[mask == 1]
    angle = np.degrees(np.arctan2(-(xyz[..., 0] - middle[0]), xyz[..., 1] - middle[1])) % 360
    for number, found in ((5, color), (15, fine)):
        edges = np.linspace(inside.min(), inside.max(), number + 1)
        ring = np.clip(np.digitize(q, edges), 1, number)
        wanted = np.where(mask == 1, (ring - 1) * 2 + angle // 180 + 1, 0)
        close = np.abs(q[..., None] - edges).min(axis=-1) < 1e-9 * inside.max()
        close |= np.abs((angle + 90) % 180 - 90) < 1e-6
        assert np.array_equal(found[~close], wanted[~close]) and close.sum() < 2000
    assert np.abs(iX - (xyz[..., 0] - low[0]) / pixel).max() < 0.51
    assert np.abs(iY - (xyz[..., 1] - low[1]) / pixel).max() < 0.51
    with open(tmp_path / "first_colors.csv", encoding="ascii", newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(row["color"]) for row in table] == np.unique(color[color > 0]).tolist()
    for row in table:
        of = q[color == int(row["color"])]
        assert int(row["elements"]) == len(of) and float(row["q_mean"]) == pytest.approx(of.mean(), rel=1e-6)
        assert row["unit"] == "1/angstrom"

    # a hand edits the image; its mask comes back
    image = np.load(tmp_path / "first_mask_imgCoords.npy")
    top, left = image.shape[0] // 3, image.shape[1] // 2
    image[top : top + 20, left : left + 30] = 0
    np.save(tmp_path / "edited_mask_imgCoords.npy", image)
    both = ["--iX", "first_iX.npy", "--iY", "first_iY.npy"]
    said = tool("img2ndarr", "-i", "edited_mask_imgCoords.npy", "-o", "edited_mask_ndarrCoords.npy", *both)
    edited = np.load(tmp_path / "edited_mask_ndarrCoords.npy")
    hole = (iX >= top) & (iX < top + 20) & (iY >= left) & (iY < left + 30)
    shared = np.bincount((iX.astype(int) * image.shape[1] + iY).ravel(), minlength=image.size)
    alone = (shared == 1)[iX.astype(int) * image.shape[1] + iY]
    assert hole.any() and not edited[hole].any()
    assert np.array_equal(edited[alone], (mask * ~hole)[alone]) and np.all(edited <= mask * ~hole)
    if case == "cspad":
        assert not alone.all() and f"{np.count_nonzero(~alone):,} elements share a pixel" in said
    else:
        assert alone.all() and "every element has a pixel of its own" in said
    said = tool("ndarr2img", "-i", "edited_mask_ndarrCoords.npy", "-o", "again.npy", *both)
    assert np.array_equal(np.load(tmp_path / "again.npy"), image) and "comes back from the image as it is" in said

    # checked, run, drawn
    files = ["--color", "first_color_ndarrCoords.npy", "--finecolor", "first_finecolor_ndarrCoords.npy"]
    said = tool("check", "--mask", "edited_mask_ndarrCoords.npy", *files, "-d", dataset, "-s", src)
    assert f"{edited.sum():,} of {edited.size:,} elements to process" in said and said.endswith("all right\n")
    (tmp_path / "config.py").write_text(CONFIG.format(dataset=dataset, src=src))
    done = run_command("parCorAnaDriver", "-c", "config.py", cwd=tmp_path, ranks=3 if case == "jungfrau" else 0, **own)
    assert done.returncode == 0, done.stderr
    tool("plot", "-i", "first_color_ndarrCoords.npy", "-o", "color.png")
    assert plot.main(["result.h5", "-o", "all.png", "--map", "mask", *both]) == 0
    with h5py.File(tmp_path / "result.h5") as file:
        group = file[f"user/G2_results_at_{EVENTS:06d}"]
        for c in np.unique(color[color > 0])[[0, -1]]:
            mine = frames(shape)[:, (color == c) & (edited == 1)]
            np.testing.assert_allclose(group[f"intensity/color_{c}"], mine.mean(axis=1), rtol=1e-12)
            assert np.isfinite(group[f"delay_curve_color_{c}"]).all()
    for name in ("color.png", "all.png", "result.png"):
        pixels = matplotlib.image.imread(tmp_path / name)
        assert min(pixels.shape[:2]) > 800 and np.mean(pixels[..., :3].min(axis=2) < 0.95) > 0.02


def test_edges_of_the_rings_are_where_the_table_says():
    from parcorana.detector.colors import Rings, edges_between

    for log in (False, True):
        rings = Rings(edges_between(1.0, 9.0, 4, log))
        color = rings.colors(np.array([0.99, *rings.edges, 9.01]), np.zeros(7))
        assert color.tolist() == [0, 1, 2, 3, 4, 4, 0]
        ratios = [b / a if log else b - a for a, b in pairwise(rings.edges)]
        np.testing.assert_allclose(ratios, ratios[0])
