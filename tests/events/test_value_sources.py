"""Values of events from every source, and whole runs that use them: HDF5, psana, the simulator."""

import importlib.util
import math
import subprocess
import sys
import time
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from effort import PATIENCE
from local import run_local
from valued import MONITOR, Seen, check_run, drive, write_monitor

from parcorana import ConfigError
from parcorana.events.dataset import parse_dataset
from parcorana.events.open import open_source
from parcorana.events.protocol import Share
from parcorana.events.simulated import true_g2
from parcorana.reference import pairs_sums
from parcorana.tools.compare import compare

NO_PSANA = pytest.mark.skipif(importlib.util.find_spec("psana") is None, reason="psana of LCLS-II is not installed")


def events_of(dataset, values=None, **share):
    source = open_source(parse_dataset(dataset), src="det/frames", share=Share(**share), values=values)
    found = [event for block in source.blocks() for event in block]
    source.close()
    return found


def test_simulator():
    events = events_of("sim=brownian:shape=3x4:events=400:sase=0.3:gaps=0.2:disorder=4:seed=2", {"i0": "pulse"})
    assert [event.index for event in events] == list(range(400))
    pulses = np.array([event.values["pulse"] for event in events])
    assert all(event.values == {"i0": event.values["pulse"], "pulse": event.values["pulse"]} for event in events)
    assert abs(pulses.mean() - 1) < 0.06 and abs(pulses.std() - 0.3) < 0.05
    assert {event.values["pulse"] for event in events_of("sim=brownian:shape=3x4:events=5")} == {1.0}


@pytest.mark.parametrize("poisson", [0, 1])
def test_frames_divided_by_their_pulses_have_the_true_g2(poisson):
    """The g2 of the frames, divided by that of the pulses over the same pairs, is that of the sample."""
    delays, off = np.array([1, 2, 4, 8, 16]), []
    for seed in range(12):
        text = f"sim=brownian:shape=24x24:events=600:tau=10:sase=0.5:seed={seed}:poisson={poisson}"
        events = events_of(text)
        frames = np.array([event.data().ravel() for event in events], float)
        pulses = np.array([[event.values["pulse"]] for event in events])
        quotient = []
        for data in (frames, pulses):
            sums = pairs_sums(
                {event.stamp: row for event, row in zip(events, data, strict=True)}, delays, data.shape[1]
            )
            g2, past, future = (sums[name].mean(axis=1) for name in ("G2", "IP", "IF"))
            quotient.append(sums["counts"] * g2 / (past * future))
        assert np.ptp(quotient[1]) > 0
        off.append(quotient[0] / quotient[1] - true_g2(text, delays))
    off = np.array(off)
    assert (np.abs(off.mean(axis=0)) < 4 * off.std(axis=0, ddof=1) / np.sqrt(len(off))).all()


# -- HDF5 -----------------------------------------------------------------------


@pytest.fixture
def stack(tmp_path):
    """Two files of one stack, with values beside; return the columns and how to read them."""
    rng = np.random.default_rng(7)
    frames = rng.integers(0, 99, (50, 4, 5)).astype(np.uint16)
    i0, shot = rng.random(50), rng.integers(0, 5, 50)
    for k, some in enumerate((slice(0, 20), slice(20, 50))):
        with h5py.File(tmp_path / f"part_{k}.h5", "w") as file:
            file.create_dataset("det/frames", data=frames[some], chunks=(1, 4, 5))
            file["det/counter"] = np.arange(50)[some] * 2
            file["scan/i0"], file["scan/shot"] = i0[some], shot[some].astype(np.int32)
            file["scan/text"], file["scan/few"] = np.array([b"x"] * len(i0[some])), i0[some][1:]
            file["elsewhere"] = h5py.ExternalLink("away/other.h5", "x")
    (tmp_path / "away").mkdir()
    with h5py.File(tmp_path / "away" / "other.h5", "w") as file:
        file["x"] = np.zeros(20)
    return SimpleNamespace(folder=tmp_path, frames=frames, i0=i0, shot=shot, text=f"h5={tmp_path}/part_*.h5")


@pytest.mark.parametrize("servers", [1, 3])
def test_values_from_hdf5(stack, servers):
    found = []
    for server in range(servers):
        found += events_of(stack.text, {"i0": "/scan/i0", "n": "scan/shot"}, server=server, servers=servers, block=7)
    found.sort(key=lambda event: event.index)
    assert [event.index for event in found] == list(range(50))
    for k, event in enumerate(found):
        assert event.values == {"i0": stack.i0[k], "n": float(stack.shot[k])} and event.evt is event
        assert type(event.values["n"]) is float


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "scan/i1",
            "part_0.h5: scan/i1: there is no such dataset in the file; did you mean 'scan/i0'?; a number for each",
        ),
        ("scan", "part_0.h5: scan is a group, and must be a dataset"),
        ("scan/few", "part_0.h5: scan/few has shape (19,), and must have (20,), a number for each frame"),
        ("scan/text", "part_0.h5: scan/text has dtype |S1, and must be numbers"),
        ("det/frames", "part_0.h5: det/frames has shape (20, 4, 5), and must have (20,), a number for each frame"),
        ("elsewhere", "other.h5; other files are read only in a folder that you trust"),
    ],
)
def test_wrong_values_in_hdf5(stack, path, words):
    with pytest.raises(ConfigError) as error:
        events_of(stack.text, {"i0": path})
    assert str(error.value).startswith("values['i0']: h5=") and words in str(error.value)


def test_frames_that_are_not_wanted_are_not_read(stack, monkeypatch):
    """In chunks of one frame, those far from any that is wanted stay packed."""
    from parcorana.events.hdf5 import source as module

    monkeypatch.setattr(module, "_GAP_BYTES", 3 * 40)
    source = open_source(parse_dataset(stack.text), src="det/frames", values={"i0": "scan/i0"})
    read, plain = [], source._read
    monkeypatch.setattr(source, "_read", lambda a, b: read.extend(range(a, b)) or plain(a, b))
    (block,) = source.blocks()
    wanted = np.zeros(50, bool)
    wanted[[3, 5, 18, 21, 40]] = True
    got = {}
    for k, frames in block.pieces(wanted):
        got.update(zip(range(k, k + len(frames)), frames.copy(), strict=True))
    for k in np.flatnonzero(wanted):
        np.testing.assert_array_equal(got[k], stack.frames[k])
    assert sorted(read) == [3, 4, 5, 18, 19, 20, 21, 40]
    source.close()


WRITES = """
import sys
import h5py, numpy as np
data = np.load(sys.argv[2])
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    one = file.create_dataset("det/frames", (0, 4, 5), "u2", maxshape=(None, 4, 5), chunks=(2, 4, 5))
    two = file.create_dataset("i0", (0,), "f8", maxshape=(None,), chunks=(8,))
    file.swmr_mode = True
    for k in range(0, 60, 4):
        for each, values in ((one, data["frames"]), (two, data["i0"]))[:: 1 if k % 8 else -1]:
            each.resize(k + 4, axis=0)
            each[k:] = values[k : k + 4]
            each.flush()
"""


def test_live_hdf5(tmp_path, in_thread):
    """A frame comes with its value, whichever of the two is written last."""
    path, rng = tmp_path / "live.h5", np.random.default_rng(3)
    frames, i0 = rng.integers(0, 9, (60, 4, 5)).astype(np.uint16), rng.random(60)

    np.savez(tmp_path / "data.npz", frames=frames, i0=i0)
    # a process of its own: within one, HDF5 has a file open as long as anybody has
    command = [sys.executable, "-c", WRITES, str(path), str(tmp_path / "data.npz")]
    in_thread(lambda: subprocess.run(command, check=True))
    source = open_source(parse_dataset(f"h5={path}:live"), src="det/frames", values={"i0": "i0"})
    found = [(event.index, event.values, event.data().copy()) for event in source.events() if event is not None]
    source.close()
    assert [index for index, _, _ in found] == list(range(60))
    for k, (_, values, data) in enumerate(found):
        assert values == {"i0": i0[k]}
        np.testing.assert_array_equal(data, frames[k])


# -- whole runs -----------------------------------------------------------------


def test_hdf5_with_monitor(setup):
    """Under mpiexec and without, every division: what is chosen, counted and kept is the same, and as by hand."""
    rng = np.random.default_rng(5)
    i0 = np.where(rng.random(230) < 0.05, np.nan, rng.random(230))
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["scan/i0"] = i0
        del file["det/counter"]
    select = {"i0": (0.2, 0.9), "mean": (4.8, None)}
    write_monitor(setup, values={"i0": "scan/i0"}, select=select)
    one = drive(setup, "one.h5")
    entered = check_run(setup, one, setup.frames, i0, select, "i0")
    assert one.limits == {"i0": [0.2, 0.9], "mean": [4.8, math.inf]}
    last = entered[-60:]
    np.testing.assert_array_equal(one.stored, [np.array(last) - entered[0], i0[last]])
    said = f"events filtered by select: i0 not 0.2 to 0.9: {one.filtered_by['i0']}, mean not from 4.8 on: "
    assert said + str(one.filtered_by["mean"]) in one.log
    with h5py.File(setup.folder / "one.h5") as file:
        check_histograms(file["system/values"], setup, i0, entered)
    for servers in (1, 2):
        write_monitor(setup, values={"i0": "scan/i0"}, select=select, numservers=servers)
        drive(setup, f"over_mpi_{servers}.h5", ranks=4)
        assert compare(setup.folder / "one.h5", setup.folder / f"over_mpi_{servers}.h5") == []


def check_histograms(group, setup, i0, entered):
    """Compare with numpy what a result holds of the values of events processed and of those left out."""
    means = setup.frames[:, setup.mask.astype(bool)].mean(axis=1, dtype=float)
    out = np.setdiff1d(np.arange(len(i0)), entered)
    of_i0 = np.intersect1d(out, np.flatnonzero(~((i0 >= 0.2) & (i0 <= 0.9))))
    assert set(group) == {"i0", "mean"}
    for name, column, unread in (("i0", i0, []), ("mean", np.where(np.isin(np.arange(len(i0)), of_i0), np.nan, means),
                                                  of_i0)):  # fmt: skip
        here = group[name]
        for kind, which in (("processed", entered), ("filtered", out)):
            values = column[which]
            real = values[np.isfinite(values)]
            assert here[kind].attrs["nan"] == len(values) - len(real) >= (kind == "filtered") * len(unread)
            assert here[kind][:].tolist() == np.histogram(real, [*here["edges"][:-1], np.inf])[0].tolist()
            assert (here[kind].attrs["minimum"], here[kind].attrs["maximum"]) == (real.min(), real.max())
            assert here[kind].attrs["units"] == "1" and here[kind].attrs["long_name"]
        line = here["timeline"]
        assert line["events"][:].tolist() == [1] * len(entered) and line["first"].attrs["rate"] == 120
        assert line["first"][:].tolist() == line["last"][:].tolist() == (np.array(entered) - entered[0]).tolist()
        for key in ("mean", "minimum", "maximum"):
            np.testing.assert_allclose(line[key], column[entered], rtol=1e-15)


def test_dropouts_are_told(tmp_path, caplog):
    """60 of 2,000 frames without beam: the closing log says so, and what would leave them out."""
    rng = np.random.default_rng(3)
    frames = rng.poisson(9, (2000, 4, 4)).astype(np.uint16)
    frames[rng.permutation(2000)[:60]] = 0
    for select in ({}, {"mean": (1, None)}):
        caplog.clear()
        (viewer, _, worker, _) = run_local(
            tmp_path, Seen, np.arange(2000), frames, workers=2, times=5, delays=[1], block=64, select=select
        )
        told = "60 of 2,000 events have mean below 10% of its median, 9"
        assert (told in caplog.text) == (not select) and viewer.finished["filtered"] == 60 * len(select)
    found = worker.monitors.distributions()["mean"]
    assert found.counts[:, 0].tolist() == [0, 60] and found.minimum.min() > 5


def test_simulator_with_select(setup, command):
    np.save(setup.folder / "mask.npy", setup.mask)
    select = {"pulse": (0.5, 1.3), "mean": (None, 12)}
    dataset = "sim=brownian:shape=2x5x7:events=300:sase=0.4:poisson=1:seed=4"
    write_monitor(setup, dataset=dataset, src=None, select=select, numservers=2, numevents=250)
    run = drive(setup, "sim.h5", ranks=4)
    events = events_of(dataset, numevents=250)
    frames, pulses = np.array([e.data() for e in events]), np.array([e.values["pulse"] for e in events])
    entered = check_run(setup, run, frames, pulses, select, "pulse")
    assert 0 < len(entered) < 250 and min(run.filtered_by.values()) > 0


def test_check_names_what_is_wrong(setup):
    for select, values, words in (
        ({"pulse": (0, 1)}, {}, "select['pulse']: there is no such value, there is mean"),
        ({}, {"i0": "scan/none"}, "values['i0']: h5=frames.h5: scan/none: there is no such dataset in the file"),
    ):
        setup.write(select=select, values=values)
        run = setup.drive("--check")
        assert run.returncode == 2 and words in run.stderr, run.stderr
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["scan/i0"] = np.zeros(230)
    setup.write(values={"i0": "scan/i0"}, select={"i0": [None, 3]})
    run = setup.drive("--check")
    assert run.returncode == 0, run.stderr
    assert "{'i0': 'scan/i0'}" in run.stdout and "{'i0': (None, 3)}" in run.stdout
    said = run.stdout[run.stdout.index("values of the first") :].splitlines()
    assert said[0] == "values of the first 230 events with data, from the smallest to the largest:"
    assert said[1].endswith("| min 0, 1% 0, median 0, 99% 0, max 0")
    assert said[2].strip() == "select: 0 are not up to 3, or NaN, and are left out"
    assert said[-1] == "values: picture mask_values.png"
    assert (setup.folder / "mask_values.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("ranks", [0, 4])
def test_a_run_with_values_goes_on(setup, ranks):
    """Killed after a checkpoint and gone on with elsewhere: values that were stored before are still there."""
    i0 = np.random.default_rng(6).random(230)
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["scan/i0"] = i0
    given = {"values": {"i0": "scan/i0"}, "select": {"i0": (0.1, None)}, "checkpoint": 40, "overwrite": False}
    write_monitor(setup, **given)
    whole = drive(setup, "whole.h5")
    path = setup.folder / "monitor.py"
    path.write_text(
        MONITOR.replace(
            "        order = ", "        if self.number[0] > 120:\n            raise ValueError\n        order = "
        )
    )
    run = setup.drive("-o", "out.h5")
    assert run.returncode == 1 and "go on from its last checkpoint with --resume" in run.stderr, run.stderr
    path.write_text(MONITOR, encoding="utf-8")
    write_monitor(setup, **given | {"select": {"i0": (0.2, None)}})
    run = setup.drive("-o", "out.h5", "--resume")
    assert run.returncode == 2 and "the run was begun with select=" in run.stderr, run.stderr
    # in another order they are the same values
    write_monitor(setup, **given | {"values": dict(reversed(given["values"].items()))})
    resumed = drive(setup, "out.h5", "--resume", ranks=ranks)
    np.testing.assert_array_equal(resumed.entered, whole.entered)
    np.testing.assert_array_equal(resumed.stored, whole.stored)
    np.testing.assert_array_equal(resumed.weighted, whole.weighted)
    assert (resumed.account, resumed.filtered_by) == (whole.account, whole.filtered_by)
    assert compare(setup.folder / "out.h5", setup.folder / "whole.h5") == [], "the values of /system, too"


def test_the_testing_mode_selects_alike(setup):
    i0 = np.random.default_rng(6).random(230)
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["scan/i0"] = i0
    write_monitor(setup, values={"i0": "scan/i0"}, select={"i0": (0.1, 0.9), "mean": (4.6, None)}, testnumevents=60)
    for mode in ("--test_main", "--test_alt", "--cmp"):
        run = setup.drive(mode)
        assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "out_test_alt.h5") as file:
        assert min(file["system/select"].attrs.values()) > 0 and file["system/accounting"].attrs["filtered"] > 0


def test_live_runs_count_alike(setup):
    """`numevents` cuts a live run exactly: what was filtered beyond it counts as unused."""
    dataset = "sim=brownian:shape=2x5x7:events=3000:sase=0.4:seed=4:live:hz=2000"
    setup.write(
        user={}, dataset=dataset, src=None, select={"pulse": (0.8, None)}, numservers=2, numevents=400, update=100
    )
    run = setup.drive(ranks=4)
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        account, selected = file["system/accounting"].attrs, file["system/select"].attrs
        assert account["filtered"] == selected["pulse"] > 50
        assert account["processed"] + account["filtered"] + account["late"] == 400
        assert account["read"] == 400 + account["unused"]


# -- psana ----------------------------------------------------------------------

ENVIRONMENT = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:1") | {"NO_PROXY": ""}
T0 = 10**18


@pytest.fixture(scope="module")
def beam(tmp_path_factory):
    """Two runs of xtc2 with the energy of each pulse and event codes, which some events lack."""
    from xtc2 import write_run

    folder, rng = tmp_path_factory.mktemp("beam"), np.random.default_rng(8)
    frames, energy = rng.poisson(5, (90, 2, 5, 7)).astype(np.uint16), rng.random(90)
    codes = np.zeros((90, 18), np.uint16)
    codes[::3, 40 // 16] |= 1 << 40 % 16
    lacking = {(7, "gmd"), (33, "gmd"), (50, "timing")}
    numbers = {"gmd": {"milliJoulesPerPulse": energy, "other": energy * 2}, "timing": {"sequenceValues": codes}}
    stamps = T0 + np.arange(90) * 10**9 // 120
    slow = {PRESSURE: np.arange(90) + 0.5}
    write_run(folder, frames, stamps, streams=2, numbers=numbers, lacking=lacking, slow=slow)
    some = {name: {field: column[:40] for field, column in fields.items()} for name, fields in numbers.items()}
    write_run(
        folder,
        frames[:40],
        stamps[:40] + 10**12,
        run=8,
        streams=2,
        numbers=some,
        lacking={(7, "gmd"), (33, "gmd")},
        slow=slow,
    )
    laser = np.array([float(k % 3 == 0) for k in range(90)])
    laser[50], energy[[7, 33]] = math.nan, math.nan
    # of the last slow update before: there is one after the event 7, and then every 16 events
    pressure = np.array([math.nan if k <= 7 else (k - 8) // 16 * 16 + 7.5 for k in range(90)])
    return SimpleNamespace(folder=folder, frames=frames, energy=energy, laser=laser, pressure=pressure)


PRESSURE = "HX2:DVD:GCC:01:PMON"
VALUES = {"energy": "gmd.raw.milliJoulesPerPulse", "laser": "timing.raw.eventcodes[40]", "pressure": PRESSURE}


@NO_PSANA
@pytest.mark.parametrize("mode", ["", ":idx"])
@pytest.mark.parametrize("servers", [1, 2])
def test_values_from_psana(beam, no_facility, mode, servers):
    dataset = parse_dataset(f"exp=tstx00126:run=7,8:dir={beam.folder}{mode}")
    found = {}
    for server in range(servers):
        share = Share(server=server, servers=servers, block=16)
        source = open_source(dataset, src="mydet", share=share, values=VALUES)
        assert source.own_run.runnum == 7
        for block in source.blocks():
            for event in block:
                evt = event.evt
                assert type(evt).__module__ == "psana.event"
                assert (evt.index, evt.stamp, evt.values) == (event.index, event.stamp, event.values)
                assert event.own_run.runnum == 7 + event.run == evt.run().runnum
                found[event.run, event.index] = event.values, event.data().copy()
        source.close()
    assert sorted(found) == [(0, k) for k in range(90)] + [(1, k) for k in range(40)]
    for (run, k), (values, data) in found.items():
        np.testing.assert_array_equal(values["energy"], beam.energy[k])
        np.testing.assert_array_equal(values["pressure"], beam.pressure[k])
        np.testing.assert_array_equal(values["laser"], beam.laser[k] if not (run and k == 50) else 0)
        np.testing.assert_array_equal(data, beam.frames[k])


@NO_PSANA
@pytest.mark.parametrize("mode", ["", ":idx"])
@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("gmdd.raw.x", "run 7 of tstx00126 has these detectors: gmd, mydet, timing; did you mean 'gmd'?"),
        (
            "gmd.raw.milliJoules",
            "detector 'gmd' of run 7 of tstx00126 has these: raw.config, raw.milliJoulesPerPulse, raw.other",
        ),
        ("gmd.fex.milliJoulesPerPulse", "has these: raw.config, raw.milliJoulesPerPulse, raw.other; did you mean"),
        (
            "timing.raw.eventcodes",
            "is an array of shape (288,), and must be a number: 'timing.raw.eventcodes[40]' is 1 in",
        ),
        ("timing.raw.eventcodes[288]", "there is no element 288 in 288, which begin with 0"),
        ("mydet.raw.raw", "is an array of shape (2, 5, 7), and must be a number"),
        ("mydet.raw.raw[1]", "'mydet.raw.raw' is an array of shape (2, 5, 7), which has no element 1"),
        ("gmd.raw.other[0]", "'gmd.raw.other' is one number, which has no element 0"),
        ("gmd.raw.config", "is dict, and must be a number"),
        ("HX2:PMON", f"run 7 of tstx00126 has these variables of EPICS and scans: {PRESSURE}; did you mean"),
    ],
)
def test_wrong_values_of_psana(beam, no_facility, mode, where, words):
    dataset = parse_dataset(f"exp=tstx00126:run=7:dir={beam.folder}{mode}")
    with pytest.raises(ConfigError) as error:
        open_source(dataset, src="mydet", share=Share(block=16), values={"energy": where})
    assert str(error.value).startswith(f"values['energy'] {where!r}: ".replace(": ", "")) and words in str(error.value)


@NO_PSANA
def test_psana_with_select(setup, beam):
    select = {"energy": (0.3, None), "laser": (1, 1)}
    text = f"exp=tstx00126:run=7:dir={beam.folder}"
    write_monitor(setup, dataset=text, src="mydet", values=VALUES, select=select, numservers=2)
    warnings = {"PYTHONWARNINGS": "default"}  # what importing psana says of the packages that it brings along
    run = drive(setup, "psana.h5", ranks=4, env=ENVIRONMENT | warnings)
    entered = [k for k in range(90) if beam.energy[k] >= 0.3 and beam.laser[k] == 1]
    np.testing.assert_array_equal(run.entered[:, 1], beam.energy[entered])
    assert run.filtered_by == {
        "energy": sum(not e >= 0.3 for e in beam.energy),
        "laser": sum(e >= 0.3 and code != 1 for e, code in zip(beam.energy, beam.laser, strict=True)),
    }
    assert run.account["processed"] == len(entered) and run.account["filtered"] == 90 - len(entered)


@NO_PSANA
def test_servers_know_psanas_run(tmp_path, beam, no_facility):
    """`mpiParams.run` is there before `initServer`, and is that of the event in hand."""
    runs = []

    class Looks(Seen):
        def initServer(self):
            runs.append(self.mpiParams.run.runnum)

        def eventOk(self, evt):
            runs.append((self.mpiParams.run.runnum, evt.run().runnum))
            return True

    dataset = parse_dataset(f"exp=tstx00126:run=7,8:dir={beam.folder}")

    def opened(share):
        return open_source(dataset, src="mydet", share=share)

    run_local(tmp_path, Looks, np.arange(1), beam.frames[:1], servers=2, times=5, block=16, delays=[1], opened=opened)
    assert [each for each in runs if each == 7] == [7, 7], "once for each server"
    assert sorted(each for each in runs if each != 7) == [(7, 7)] * 90 + [(8, 8)] * 40


@NO_PSANA
def test_values_of_a_live_run(tmp_path, beam, no_facility, monkeypatch, in_thread):
    from xtc2 import grow

    monkeypatch.setattr("parcorana.events.psana2.live._SETTLED", 0.3)
    in_thread(grow, beam.folder, tmp_path)
    source = open_source(parse_dataset(f"exp=tstx00126:run=7:dir={tmp_path}:live"), src="mydet", values=VALUES)
    found, limit = [], time.monotonic() + PATIENCE
    for event in source.events():
        assert time.monotonic() < limit
        if event is not None:
            assert event.evt.values is event.values and event.own_run is source.own_run
            found.append((event.index, *(event.values[name] for name in VALUES)))
    source.close()
    np.testing.assert_array_equal(found, np.stack([np.arange(90), beam.energy, beam.laser, beam.pressure], axis=1))
