"""psana's calibration, with constants from files, against NumPy to the last bit."""

import ast
import http.server
import importlib.util
import json
import os
import subprocess
import sys
import urllib.parse

import numpy as np
import pytest
from conftest import serving
from docs.test_docs import table_of
from effort import PATIENCE
from xtc2 import write_run

import parcorana
from parcorana.errors import ConfigError
from parcorana.events import psana_config as options
from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_source
from parcorana.events.protocol import Share

NO_PSANA = pytest.mark.skipif(importlib.util.find_spec("psana") is None, reason="psana of LCLS-II is not installed")
EVENTS, SHAPE = 3, (2, 512, 1024)
STAMPS = [10**18 + k * 10**7 for k in range(EVENTS)]


@pytest.fixture(scope="module")
def frames():
    """Raw data of a jungfrau: 14 bits, above them the gain range 0, 1 or 3."""
    rng = np.random.default_rng(0)
    ranges = rng.choice(np.array([0, 1, 3], np.uint16), (EVENTS, *SHAPE))
    return (ranges << 14 | rng.integers(0, 1 << 14, (EVENTS, *SHAPE))).astype(np.uint16)


@pytest.fixture(scope="module")
def constants():
    rng = np.random.default_rng(1)
    shape = (3, *SHAPE)  # one for each gain range
    return {
        "pedestals": rng.normal(3000, 30, shape).astype(np.float32),
        "gain": rng.uniform(0.5, 42, shape).astype(np.float32),
        "offset": rng.normal(0, 5, shape).astype(np.float32),
        "pixel_status": (rng.random(shape) < 0.01).astype(np.uint64) << rng.integers(0, 3, shape).astype(np.uint64),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory, frames, constants):
    path = tmp_path_factory.mktemp("calibration")
    write_run(path, frames, STAMPS, kind="jungfrau", detector="jf")
    write_run(path, frames[:, :, :8, :8], STAMPS, run=8, detector="jf")
    write_run(path, frames[:, :1], STAMPS, run=9, kind="jungfrau", detector="jf")
    for name, array in constants.items():
        np.save(path / f"{name}.npy", array)
    return path


@pytest.fixture(autouse=True)
def without_facility(no_facility):
    pass


def calibrated(frames, constants, **wanted):
    """The same in NumPy, in float32 as psana does it: (data - (pedestals + offset)) * (1 / gain * good)."""
    which = np.minimum(frames >> 14, 2)
    zero, one = np.zeros((3, *SHAPE), np.float32), np.ones((3, *SHAPE), np.float32)
    pedestals = constants["pedestals"] if wanted.get("pedestals") else zero
    if wanted.get("offset"):
        pedestals = pedestals + constants["offset"]
    factor = one / constants["gain"] if wanted.get("gain") else one
    if wanted.get("pixel_status"):
        factor = factor * ((constants["pixel_status"] & np.uint64(wanted["status_bits"])) == 0).all(axis=0)
    if wanted.get("edges"):
        inside = np.zeros(SHAPE, np.float32)
        inside[:, wanted["edges"] : -wanted["edges"], wanted["edges"] : -wanted["edges"]] = 1
        factor = factor * inside
    return ((frames & 0x3FFF).astype(np.float32) - np.choose(which, pedestals)) * np.choose(which, factor)


def opened(folder, config, run=7, log=print):
    text = f"exp=tstx00126:run={run}:dir={folder}"
    return open_source(parse_dataset(text), src="jf", type_=config["type"], share=Share(), log=log, psana_config=config)


def read(source):
    data = [event.data().copy() for block in source.blocks() for event in block]
    source.close()
    return data


def config_of(folder, names, **more):
    """A configuration that takes these constants from files, and no others."""
    given = {name: str(folder / f"{name}.npy") if name in names else False for name in options.CONSTANTS}
    return parcorana.make_psana_config("jf", "calib", **given | more)


@NO_PSANA
@pytest.mark.parametrize(
    ("names", "more"),
    [
        ("pedestals gain offset pixel_status", {"status_bits": 0xFFFF}),
        ("pedestals gain pixel_status", {"status_bits": 0b101}),
        ("pedestals", {"edges": 2}),
        ("gain offset", {}),
        ("pixel_status", {"status_bits": 0xFFFF}),
    ],
)
def test_jungfrau(folder, frames, constants, names, more):
    """What is asked for, and nothing else, is done."""
    names, lines = names.split(), []
    data = read(opened(folder, config_of(folder, names, **more), log=lines.append))
    assert lines == []
    for k, one in enumerate(data):
        right = calibrated(frames[k], constants, **dict.fromkeys(names, True), **more)
        assert one.dtype == np.float32 and one.shape == SHAPE
        np.testing.assert_array_equal(one, right)


@NO_PSANA
def test_common_mode(folder, frames, constants):
    """That of psana for the jungfrau: here the median of each column of half a segment, of the highest gain range."""
    config = config_of(folder, ["pedestals"], common_mode=(7, 2, 1e6, 10))
    raw = frames[0]
    right = calibrated(raw, constants, pedestals=True)
    for segment in range(2):
        for half in (slice(0, 256), slice(256, 512)):
            highest = np.where(raw[segment, half] >> 14 == 0, right[segment, half], np.nan)
            right[segment, half] -= np.nanmedian(highest, axis=0) * (raw[segment, half] >> 14 == 0)
    one = read(opened(folder, config))[0]
    assert not np.array_equal(one, calibrated(raw, constants, pedestals=True))
    np.testing.assert_allclose(one, right, atol=0.02)
    with pytest.raises(ConfigError, match=r"common_mode.*psana does none for 'jf', a detector of one segment"):
        opened(folder, config, run=9)


@NO_PSANA
def test_a_detector_that_psana_does_not_calibrate(folder):
    with pytest.raises(ConfigError, match="no calibration for 'jf', a detector of type cspad: take type 'raw'"):
        opened(folder, config_of(folder, ["pedestals"]), run=8)


@NO_PSANA
def test_no_constants_are_said(folder, frames):
    """Where the facility cannot be reached the data is raw, and that is said twice."""
    lines = []
    data = read(opened(folder, parcorana.make_psana_config("jf"), log=lines.append))
    assert np.array_equal(data[0], frames[0])
    assert "constants cannot be reached: pedestals, gain, offset, pixel_status of 'jf' are left out" in lines[0]
    assert "asks for pedestals, gain, offset, pixel_status, but raw and calibrated data are equal" in lines[1]
    assert len(lines) == 2


@NO_PSANA
def test_constants_that_do_not_fit(folder, tmp_path):
    np.save(tmp_path / "small.npy", np.zeros((3, 2, 512, 512), np.float32))
    np.save(tmp_path / "text.npy", np.array([["a"]]))
    (tmp_path / "none.txt").write_text("no numbers\n")
    for name, words in (
        ("small.npy", r"have the shape \(3, 2, 512, 512\), which does not fit data of shape \(2, 512, 1024\)"),
        ("text.npy", "must hold real numbers"),
        ("gone.npy", r"'pedestals'\]: .*gone.npy' does not exist"),
        ("gone.txt", "does not exist"),
        ("none.txt", "cannot be read"),
    ):
        config = config_of(folder, [], pedestals=str(tmp_path / name))
        with pytest.raises(ConfigError, match=words):
            opened(folder, config)


DRIVE = """
import sys
import numpy as np
import parcorana
from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_source

folder = sys.argv[1]
for run in (7, 9):
    dataset = parse_dataset(f"exp=tstx00126:run={run}:dir={folder}")
    config = parcorana.make_psana_config("jf")
    source = open_source(dataset, src="jf", type_="calib", psana_config=config, log=lambda line: print(run, line))
    np.save(f"{folder}/calibrated{run}.npy", [event.data().copy() for block in source.blocks() for event in block])
    source.close()
"""


class Facility(http.server.BaseHTTPRequestHandler):
    """The facility's service of constants, as far as psana asks it."""

    files, collections = {}, {}

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        path, _, query = self.path.removeprefix("/calib_ws/").partition("?")
        query = json.loads(urllib.parse.parse_qs(query)["query_string"][0]) if query else {}
        answer = self.files.get(path)
        if answer is None:
            found = self.collections.get(path, [])
            answer = json.dumps([doc for doc in found if query.get("long") in (None, doc.get("long"))]).encode()
        # the detector of run 9 has one segment: another detector to the facility
        self.send_response(503 if query.get("long", "").count("serial") == 1 else 200)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass

    @classmethod
    def keep(cls, database, type_, array, first, last="end"):
        key = f"{len(cls.files):024x}"
        cls.files[f"{database}/gridfs/{key}"] = array.tobytes()
        doc = {"_id": key, "id_data": key, "ctype": type_, "run": first, "run_end": last, "data_type": "ndarray"}
        doc |= {"data_dtype": str(array.dtype), "data_shape": str(array.shape), "experiment": database}
        cls.collections.setdefault(f"{database}/jungfrau_000001", []).append(doc)


@NO_PSANA
def test_constants_of_the_facility(folder, frames, constants):
    """Those of the run from the experiment, the others from the detector; a service that is overloaded ends nothing."""
    long = "jungfrau_serial0_serial1"
    Facility.collections["cdb_detnames/jungfrau"] = [{"_id": "0" * 24, "long": long, "short": "jungfrau_000001"}]
    exp, detector = "cdb_tstx00126", "cdb_jungfrau_000001"
    Facility.keep(exp, "pedestals", constants["pedestals"] + 1, 1, 6)  # of earlier runs
    Facility.keep(exp, "pedestals", constants["pedestals"], 5)
    Facility.keep(detector, "pedestals", constants["pedestals"] + 2, 0)
    Facility.keep(detector, "pixel_gain", constants["gain"], 0)
    Facility.keep(exp, "pixel_offset", constants["offset"], 7, 7)
    Facility.keep(detector, "pixel_status", constants["pixel_status"], 0)
    with serving(Facility) as port:
        url = {"LCLS_CALIB_HTTP": f"http://127.0.0.1:{port}", "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            ["timeout", "-k", "5", str(PATIENCE), sys.executable, "-W", "ignore", "-c", DRIVE, folder],
            env=os.environ | url,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    right = {"status_bits": 0xFFFF, **dict.fromkeys(constants, True)}
    np.testing.assert_array_equal(
        np.load(folder / "calibrated7.npy"), [calibrated(frame, constants, **right) for frame in frames]
    )
    assert len(np.load(folder / "calibrated9.npy")) == EVENTS
    lines = [line for line in done.stdout.splitlines() if line.startswith(("7 ", "9 "))]
    assert all(line.startswith("9 ") for line in lines)
    assert "constants cannot be reached: pedestals, gain, offset, pixel_status of 'jf' are left out" in lines[0]


def test_every_option_is_visible_and_documented(root):
    config = parcorana.make_psana_config("jungfrau")
    assert list(config) == ["src", "type", *options.OPTIONS]
    assert not options.asks(parcorana.make_psana_config("jungfrau", "raw"))
    text = (root / "docs" / "data.md").read_text(encoding="utf-8").split("### Calibration", 1)[1]
    rows = {row[0].strip("`"): row[1].strip("`") for row in table_of(text, "correction")}
    assert {name: ast.literal_eval(value) for name, value in rows.items()} == {
        name: config[name] for name in options.OPTIONS
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pedestal": True}, "unknown option 'pedestal'; did you mean 'pedestals'?"),
        ({"gain": 3}, r"\['gain'\] must be True, False or a path, not 3"),
        ({"edges": -1}, "must be a whole number from 0 on, not -1"),
        ({"common_mode": (7, 2)}, "must be None or three numbers or more"),
        ({"dbsuffix": None}, "must be a string"),
        ({"pixel_status": False, "neighbors": 2}, "wants bad pixels"),
        ({"type": "raw", "edges": 1}, "asks for edges, but type 'raw' is not calibrated: take 'calib' or 'image'"),
    ],
)
def test_wrong_options(given, words):
    with pytest.raises(ConfigError, match=words):
        parcorana.make_psana_config("jungfrau", **given)


def test_in_the_config(setup):
    """It says src and type, is checked again after it was edited, and shown option by option."""
    calibration = parcorana.make_psana_config("jf", edges=1)
    setup.write(dataset="exp=tstx00126:run=7", src=..., psana_config=calibration)
    from parcorana.job.config import format_params, resolve_config

    system = setup.system | {"mask": setup.folder / "mask.npy", "user_class": parcorana.userg2.G2atEnd}
    del system["src"]
    config = resolve_config(system | {"dataset": "exp=a:run=1", "psana_config": calibration}, {})
    assert (config.src, config.type, config.psana_config) == ("jf", "calib", calibration)
    text = format_params(config)
    assert "\n    edges         1\n" in text and "\n    pedestals     True\n" in text
    for change, words in (({"egdes": 1}, "did you mean 'edges'"), ({"src": "other"}, "src is 'x' in system_params")):
        given = {"dataset": "exp=a:run=1", "psana_config": calibration | change}
        with pytest.raises(ConfigError, match=words):
            resolve_config(system | given | ({"src": "x"} if "src" in change else {}), {})
