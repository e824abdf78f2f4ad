"""The whole way of events through the program, in one process and under mpiexec."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from parcorana import reference
from parcorana.pipeline import transport
from parcorana.tools.compare import compare

KIND = {"G2atEnd": "atend", "G2IncrementalAccumulator": "accumulator", "G2IncrementalWindowed": "windowed"}
ARRAYS = ("G2", "IF", "IP")


def updates(path):
    """Return the numbers of events processed at each published update."""
    with h5py.File(path) as file:
        return sorted(int(name.rsplit("_", 1)[1]) for name in file["user"])


def check_against_reference(setup, path, kind, update, times=None):
    """Every update holds exactly the first so many processed events."""
    delays, times = setup.system["delays"], times or setup.system["times"]
    mask = setup.mask.astype(bool)
    everything = reference.g2(setup.counters, setup.included, times, delays, kind)
    wanted = set(range(update, everything["processed"] + 1, update)) if update else set()
    assert set(updates(path)) == wanted | {everything["processed"]}
    with h5py.File(path) as file:
        for processed in updates(path):
            group = file[f"user/G2_results_at_{processed:06d}"]
            want = reference.g2(setup.counters, setup.included, times, delays, kind, limit=processed)
            np.testing.assert_array_equal(group["delay_counts"], want["counts"])
            for name in ARRAYS:
                for d, delay in enumerate(delays):
                    array = group[f"{name}/delay_{delay:06d}"][()]
                    np.testing.assert_array_equal(array[mask], want[name][d])
                    assert not array[~mask].any()
        account = dict(file["system/accounting"].attrs)
        for fate in ("processed", "duplicate", "late"):
            assert account[fate] == everything[fate]
        assert account["read"] == len(setup.counters)
        assert account["read"] == sum(account[key] for key in account if key != "read")
        assert file["system"].attrs["complete"]
    return everything


@pytest.mark.parametrize("user_class", KIND)
def test_every_division_of_the_work_gives_the_same_bits(setup, user_class):
    setup.write(user_class)
    alone = setup.drive("-o", "alone.h5")
    assert alone.returncode == 0, alone.stderr
    want = check_against_reference(setup, setup.folder / "alone.h5", KIND[user_class], 70)
    assert want["duplicate"] and want["late"]  # or the stream would be too tame
    # more servers hand out the same blocks, whatever the class
    more = ((3, 1), (6, 3)) if user_class == "G2IncrementalAccumulator" else ()
    for ranks, servers in ((4, 2), (6, 1), *more):
        run = setup.drive("-o", f"{ranks}.h5", "-s", servers, "--overwrite", ranks=ranks)
        assert run.returncode == 0, run.stderr
        lines = compare(setup.folder / "alone.h5", setup.folder / f"{ranks}.h5", rtol=1e-12)
        # errors of means lose digits where elements hardly differ: they are no sums
        assert [line for line in lines if "_err_" not in line] == []
        with h5py.File(setup.folder / "alone.h5") as a, h5py.File(setup.folder / f"{ranks}.h5") as b:
            for processed in updates(setup.folder / "alone.h5"):
                for name in ARRAYS:
                    path = f"user/G2_results_at_{processed:06d}/{name}/delay_000003"
                    assert a[path][()].tobytes() == b[path][()].tobytes()


@pytest.mark.parametrize("user_class", KIND)
@pytest.mark.parametrize("update", [0, 1, 7, 1000])
def test_updates_are_exact(make_setup, user_class, update):
    setup = make_setup(events=50)
    setup.counters = np.arange(50)
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["det/counter"][...] = setup.counters
    setup.write(user_class, update=update, times=20)
    run = setup.drive()
    assert run.returncode == 0, run.stderr
    check_against_reference(setup, setup.folder / "out.h5", KIND[user_class], update, times=20)


@pytest.mark.parametrize("user_class", KIND)
@pytest.mark.parametrize(("times", "block"), [(1, 16), (5, 64), (16, 16), (400, 8), (60, 1)])
def test_buffer_smaller_and_larger_than_a_block(setup, user_class, times, block):
    setup.write(user_class, times=times, block=block)
    run = setup.drive()
    assert run.returncode == 0, run.stderr
    check_against_reference(setup, setup.folder / "out.h5", KIND[user_class], 70, times=times)


@pytest.mark.parametrize("ranks", [0, 4])
def test_numevents_is_exact(setup, ranks):
    setup.write(block=8, update=0, numservers=2)
    run = setup.drive("-n", "37", ranks=ranks)
    assert run.returncode == 0, run.stderr
    setup.counters, setup.frames = setup.counters[:37], setup.frames[:37]
    check_against_reference(setup, setup.folder / "out.h5", "atend", 0)
    with h5py.File(setup.folder / "out.h5") as file:
        assert file["system"].attrs["ended_by"] == "numevents"


@pytest.mark.parametrize("ranks", [0, 3])
@pytest.mark.parametrize("user_class", KIND)
def test_no_events_at_all(make_setup, user_class, ranks):
    setup = make_setup()
    with h5py.File(setup.folder / "empty.h5", "w") as file:
        file["det/frames"] = setup.frames[:0]
    setup.write(user_class, dataset="h5=empty.h5")
    run = setup.drive(ranks=ranks)
    assert run.returncode == 0, run.stderr
    assert "no event was processed" in run.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        group = file["user/G2_results_at_000000"]
        assert np.isnan(group["delay_curve_color_1"]).all()
        assert not group["delay_counts"][()].any()


def test_float64_storage(setup):
    setup.write("G2IncrementalAccumulator", store_dtype="float64", update=0)
    run = setup.drive()
    assert run.returncode == 0, run.stderr
    check_against_reference(setup, setup.folder / "out.h5", "accumulator", 0)


def test_times_of_events_become_counters(setup):
    """Nanoseconds, with the jitter of a real clock: the same result as the counters themselves."""
    rng = np.random.default_rng(1)
    start = 1_600_000_000_123_456_789
    stamps = start + setup.counters * 10**9 // 120 + rng.integers(-(10**5), 10**5, len(setup.counters))
    stamps[50], stamps[150] = stamps[49], stamps[20]
    with h5py.File(setup.folder / "stamped.h5", "w") as file:
        file["det/frames"] = setup.frames
        file["det/timestamp"] = stamps.astype(np.uint64)
    setup.write()
    assert setup.drive("-o", "a.h5").returncode == 0
    assert setup.drive("-o", "b.h5", "-d", "h5=stamped.h5").returncode == 0
    assert compare(setup.folder / "a.h5", setup.folder / "b.h5", ignore=["/user"]) == []
    with h5py.File(setup.folder / "a.h5") as a, h5py.File(setup.folder / "b.h5") as b:
        for name in a["user"]:
            assert compare_groups(a["user"][name], b["user"][name])
        newest = b["user/G2_results_at_000070"].attrs["relsec"]
        assert newest == pytest.approx((stamps[:72].max() - start // 10**9 * 10**9) / 1e9, abs=0.2)
        assert b["system"].attrs["first_event_time_ns"] == stamps.min()


def compare_groups(a, b):
    return all(np.array_equal(a[key][()], b[key][()], equal_nan=True) for key in a if isinstance(a[key], h5py.Dataset))


USER_CLASS = """\
import numpy as np
import parcorana


class {name}(parcorana.UserBase):
    {body}

    def arrayNames(self):
        return ["S"]

    def initWorker(self, numElementsWorker):
        self.n = numElementsWorker

    def workerCalc(self, T, numTimesFilled, X):
        D = len(self.system_params["delays"])
        S = np.zeros((D, self.n))
        counts = np.zeros(D, np.int64)
        row = {{int(t): i for i, t in enumerate(T[:numTimesFilled])}}
        for d, delay in enumerate(self.system_params["delays"]):
            for t, i in row.items():
                if t + delay in row:
                    S[d] += X[i].astype(float) * X[row[t + delay]]
                    counts[d] += 1
        return {{"S": S}}, counts, np.zeros(self.n, np.int8)

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        group = h5UserGroup.create_group(f"at_{{self.mpiParams.processed:06d}}")
        for delay, array in name2delay2ndarray["S"].items():
            group[str(delay)] = array
        group["counts"] = counts
"""


def write_user_class(setup, body="pass", name="Mine", **system):
    (setup.folder / "mine.py").write_text(USER_CLASS.format(name=name, body=body), encoding="utf-8")
    setup.write(**system)
    path = setup.folder / "config.py"
    text = path.read_text(encoding="utf-8").replace("from parcorana import userg2", "import mine")
    path.write_text(text.replace("userg2.G2atEnd", f"mine.{name}"), encoding="utf-8")


@pytest.mark.parametrize("ranks", [0, 4])
def test_a_class_of_plain_numpy(setup, ranks):
    write_user_class(setup)
    run = setup.drive(ranks=ranks)
    assert run.returncode == 0, run.stderr
    delays, mask = setup.system["delays"], setup.mask.astype(bool)
    want = reference.g2(setup.counters, setup.included, 60, delays, "atend", limit=140)
    with h5py.File(setup.folder / "out.h5") as file:
        np.testing.assert_array_equal(file["user/at_000140/counts"], want["counts"])
        for d, delay in enumerate(delays):
            array = file[f"user/at_000140/{delay}"][()]
            np.testing.assert_array_equal(array[mask], want["G2"][d])


FILTERS = """storage_order = "F"

    def eventOk(self, evt):
        return evt.stamp % 5 != 0

    def finalDataArray(self, dataArray, evt):
        if evt.stamp % 7 == 0:
            return None
        if evt.stamp % 11 == 0:
            return dataArray[..., :-1]
        return dataArray + 1.0

    def adjustData(self, data):
        data *= 2"""


@pytest.mark.parametrize(("ranks", "servers"), [(0, 1), (5, 2)])
def test_filters_and_adjustments(setup, ranks, servers):
    write_user_class(setup, FILTERS, update=0, max_bad=1.0)
    run = setup.drive("-s", servers, ranks=ranks)
    assert run.returncode == 0, run.stderr
    c = setup.counters
    kept = (c % 5 != 0) & (c % 7 != 0)
    good = kept & (c % 11 != 0)
    data = (setup.included[good] + 1) * 2
    want = reference.g2(c[good], data, 60, setup.system["delays"], "atend")
    with h5py.File(setup.folder / "out.h5") as file:
        account = dict(file["system/accounting"].attrs)
        assert account["filtered"] == np.count_nonzero(~kept)
        assert account["bad"] == np.count_nonzero(kept & ~good)
        assert account["processed"] == want["processed"]
        assert account["read"] == len(c) == sum(v for k, v in account.items() if k != "read")
        group = file[f"user/at_{want['processed']:06d}"]
        for d, delay in enumerate(setup.system["delays"]):
            np.testing.assert_array_equal(group[str(delay)][setup.mask.astype(bool)], want["G2"][d])
    assert "bad event skipped" in run.stderr


def test_values_that_are_not_finite_make_an_event_bad(setup):
    frames = setup.frames.astype(np.float32)
    inside, outside = np.argwhere(setup.mask == 1)[0], np.argwhere(setup.mask == 0)[0]
    frames[(7, *inside)] = np.nan
    frames[(9, *outside)] = np.inf
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        del file["det/frames"]
        file["det/frames"] = frames
    setup.write(update=0)
    run = setup.drive()
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / "out.h5") as file:
        assert file["system/accounting"].attrs["bad"] == 1
    assert "event 7 of the sequence" in run.stderr


@pytest.mark.parametrize("ranks", [0, 3])
def test_too_many_bad_events_end_the_run(setup, ranks):
    frames = setup.frames.astype(np.float32)
    frames[100:160] = np.nan
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        del file["det/frames"]
        file["det/frames"] = frames
    setup.write()
    run = setup.drive(ranks=ranks)
    assert run.returncode == 1
    lines = [line for line in run.stderr.splitlines() if line.startswith("parCorAnaDriver: ")]
    assert len(lines) == 1 and "max_bad=0.01" in lines[0]
    assert ("rank 2, worker after 112 events were read: 12 of 112" if ranks else ": worker after 112") in lines[0]
    assert "stopped by an error, before the end of the data" in run.stderr
    # what was read is published
    with h5py.File(setup.folder / "out.h5") as file:
        system, account = file["system"].attrs, file["system/accounting"].attrs
        assert not system["complete"] and system["ended_by"].startswith("error: ") and "max_bad" in system["ended_by"]
        assert account["read"] == sum(value for key, value in account.items() if key != "read")
        assert {"G2_results_at_000070", f"G2_results_at_{account['processed']:06d}"} <= set(file["user"])
        assert account["processed"] > 90


def test_work_is_not_taken_for_waiting(monkeypatch):
    """A rank that only lets others have their turn, as after every event with adjustTerms, does not sleep."""
    slept = []
    monkeypatch.setattr(transport.time, "sleep", slept.append)
    transport.run_polling(iter([transport.WORKED] * 100), SimpleNamespace(activity=0))
    assert not slept
    transport.run_polling(iter([None] * 10), SimpleNamespace(activity=0))
    assert len(slept) == 9 and slept == sorted(slept) and slept[-1] <= 2e-3
