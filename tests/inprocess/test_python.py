"""Jobs from Python: what comes out is the sums over the pairs, and what a config file gives."""

import gc
import multiprocessing
import os
import signal
import warnings
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from masters import SHAPE, write_master

from parcorana import BlockBase, Common, ConfigError, correlate, open_result, run
from parcorana.errors import UserCodeError
from parcorana.inprocess.job import KINDS
from parcorana.photons import PhotonStatistics
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator

RNG = np.random.default_rng(3)
PULSES = np.flatnonzero(RNG.random(400) < 0.8)
FRAMES = RNG.poisson(4, (len(PULSES), 6, 7)).astype(np.uint16)
COLOR = np.arange(42).reshape(6, 7) % 3  # 0: in no curve
DELAYS = [1, 2, 5, 20]


def pairs_of(delay):
    """Return the numbers of the frames of all pairs."""
    _, first, second = np.intersect1d(PULSES + delay, PULSES, return_indices=True)
    return first, second


class Sliced:
    """Gives frames by slices only, and remembers how many at a time."""

    shape, dtype = FRAMES.shape, FRAMES.dtype

    def __init__(self):
        self.asked = []

    def __getitem__(self, which):
        assert isinstance(which, slice)
        self.asked.append(which.stop - which.start)
        return FRAMES[which]


@pytest.fixture
def stack(tmp_path):
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["det/frames"] = FRAMES
        file["det/counter"] = PULSES
    with h5py.File(tmp_path / "frames.h5") as file:
        yield file["det/frames"]


@pytest.mark.parametrize(
    ("kind", "given"), [("G2", "array"), ("G2", "slices"), ("multitau", "h5py"), (G2atEnd, "array")]
)
def test_sums_over_all_pairs(stack, kind, given):
    frames = {"array": FRAMES, "h5py": stack, "slices": Sliced()}[given]
    delays = DELAYS[:3] if kind == "multitau" else DELAYS
    result = correlate(frames, delays, counters=PULSES, color=COLOR, kind=kind, rate=50, progress=False)
    assert result.complete and result.account["processed"] == len(PULSES)
    for d, delay in enumerate(delays):
        first, second = pairs_of(delay)
        assert result.counts[d] == len(first)
        exact = (FRAMES[first].astype(float) * FRAMES[second]).sum(axis=0)
        assert np.array_equal(result.array("G2", delay), exact)
        for k, color in enumerate((1, 2)):
            which = color == COLOR
            bottom = FRAMES[first][:, which].mean() * FRAMES[second][:, which].mean()
            assert result.g2[k, d] == pytest.approx(exact[which].mean() / len(first) / bottom, rel=1e-12)
    assert result.colors.tolist() == [1, 2] and np.allclose(result.seconds, np.array(delays) / 50)
    assert result.g2.shape == result.error.shape == result.elements.shape == (2, len(delays))


def test_it_is_what_a_config_file_gives(stack, tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((6, 7), np.int8))
    np.save(tmp_path / "color.npy", COLOR)
    system = {"dataset": f"h5={stack.file.filename}", "mask": str(tmp_path / "mask.npy"), "times": 30, "delays": DELAYS}
    system |= {"user_class": G2IncrementalAccumulator, "update": 0}
    done = run(system, {"color": str(tmp_path / "color.npy")})
    assert "h5output" not in system  # what was given stays as it is
    again = correlate(stack, DELAYS, counters=PULSES, color=COLOR, progress=False)
    assert np.array_equal(done.g2, again.g2) and np.array_equal(done.elements, again.elements)


def test_masks_and_what_colours_stand_for():
    mask = np.ones((6, 7))
    mask[0] = 0
    result = correlate(FRAMES, [1], mask=mask, color=COLOR, q={1: 0.02, 2: 0.01}, fit=None, progress=False)
    assert result.mask.tolist() == (mask != 0).tolist() and result.q.tolist() == [0.02, 0.01]
    assert result.elements[:, 0].tolist() == [np.count_nonzero(COLOR[1:] == c) for c in (1, 2)]
    alone = correlate(FRAMES, progress=False)
    assert alone.colors.tolist() == [1] and np.isnan(alone.q).all() and len(alone.delays) > 10


def test_tables_pictures_and_fits(tmp_path):
    tau = np.array([40.0, 10.0])
    time = np.arange(800)[:, None]
    rng = np.random.default_rng(4)
    # a field of each element whose correlation decays as exp(-d / tau)
    decay = np.exp(-1 / tau[np.arange(600) % 2])
    field = np.zeros((800, 600), complex)
    noise = rng.normal(size=(800, 600, 2)) @ np.array([1, 1j]) * np.sqrt((1 - decay**2) / 2)
    field[0] = noise[0] / np.sqrt(1 - decay**2)
    for t in time[1:, 0]:
        field[t] = decay * field[t - 1] + noise[t]
    color = np.arange(600).reshape(20, 30) % 2 + 1
    result = correlate(
        (abs(field) ** 2).reshape(800, 20, 30), [1, 2, 3, 5, 8, 12, 20, 30, 50], color=color, q=[0.01, 0.02], rate=10,
        fit="single", normalization="pixel", output=tmp_path / "out.h5", progress=False,
    )  # fmt: skip
    assert np.allclose(result.tau[:, 0], tau / 10, rtol=0.2) and (result.tau[:, 1] > 0).all()
    table = result.to_dataframe()
    assert [*table] == ["color", "delay", "seconds", "q", "g2", "error", "counts", "elements"]
    assert len(table) == 18 and all(kind.kind in "if" for kind in table.dtypes)
    assert np.array_equal(table["g2"], result.g2.ravel())
    assert result._repr_png_().startswith(b"\x89PNG")
    assert result.plot(tau_q=True).axes and len(result.plot([2]).axes) > 2
    again = open_result(tmp_path / "out.h5")
    assert np.array_equal(again.g2, result.g2) and "delay curves, 800 events, complete" in repr(again)


@pytest.mark.parametrize("kind", ["twotime", "photons"])
def test_other_kinds_have_no_curves(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = (
            correlate(FRAMES, [1, 2], color=COLOR, kind=kind, kmax=20, progress=False)
            if kind == "photons"
            else (correlate(FRAMES, [1, 2], color=COLOR, kind=kind, ages=32, progress=False))
        )
    assert len(repr(result.two_time or result.photons)) < 150
    assert (result.two_time is None) == (kind == "photons") and (result.photons is None) == (kind == "twotime")
    with pytest.raises(AttributeError, match="has no delay curves: look at"):
        result.g2  # noqa: B018
    assert result._repr_png_().startswith(b"\x89PNG")


def test_several_kinds_at_once():
    delays = [1, 2, 4, 8]
    result = correlate(
        FRAMES, delays, color=COLOR, kind=["multitau", "twotime", PhotonStatistics], TwoTime={"ages": 32}, kmax=20,
        normalization="color", progress=False,
    )  # fmt: skip
    alone = correlate(FRAMES, delays, color=COLOR, kind="multitau", normalization="color", progress=False)
    assert np.array_equal(result.g2, alone.g2)
    assert len(result.two_time.ages) <= 32 and result.photons.colors == [1, 2]


KEPT = []  # to the end of the process


def in_a_child(queue):
    KEPT.append(correlate(FRAMES, DELAYS, threads=2, progress=False))
    queue.put((KEPT[0].g2, KEPT[0].path))


def test_a_process_that_is_forked_does_not_wait_for_threads_that_it_has_not():
    """After jobs of several threads in the process that it is forked from."""
    wanted = correlate(FRAMES, DELAYS, threads=2, progress=False).g2
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=in_a_child, args=(queue,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other threads
        child.start()
    child.join(60)
    try:
        assert child.exitcode == 0
        g2, path = queue.get()
        assert np.array_equal(g2, wanted) and not Path(path).parent.exists()
    finally:
        child.kill()


class Counting(BlockBase):
    """A class of one's own, which may fail in the course of it."""

    fails = False

    def arrays(self, elements):
        self.events = np.zeros(1, np.int64)
        return {"events": Common(self.events)}

    def enter(self, block):
        if self.fails:
            raise ValueError("in the course of it")
        self.events += len(block)

    def publish(self, update, group):
        group["events"] = update["events"]


class Failing(Counting):
    fails = True


def test_what_a_class_of_ones_own_has_written_is_in_the_file():
    result = correlate(FRAMES, [1], kind=Counting, progress=False)
    with h5py.File(result.path) as file:
        assert file["user/events"][0] == len(FRAMES) == result.processed == result.account["processed"]
    assert result.complete and result.mask.all() and "of a class of its own" in repr(result)
    assert result._repr_png_() is None
    with pytest.raises(AttributeError, match="read it with h5py"):
        result.plot()
    with pytest.raises(ConfigError, match="it holds no delay curves"):
        open_result(result.path, at=3)


class Interrupted(Counting):
    def enter(self, block):
        super().enter(block)
        if block.first == 50:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def hears_interrupts():
    """As in a terminal: what a shell starts in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_interrupts")
def test_an_interrupt_waits_for_the_block_in_hand_alone(tmp_path):
    """In one process no block is read before the one in hand is done; the session goes on with what it has."""
    np.save(tmp_path / "mask.npy", np.ones((2, 4), bool))
    result = run(
        {
            "dataset": "sim=brownian:shape=2x4:events=500",
            "mask": str(tmp_path / "mask.npy"),
            "times": 10,
            "delays": [1],
            "block": 50,
            "user_class": Interrupted,
            "h5output": str(tmp_path / "out.h5"),
        }
    )
    assert (result.ended_by, result.complete, result.processed) == ("stopped by SIGINT", False, 100)
    with h5py.File(result.path) as file:
        assert file["user/events"][0] == 100


@pytest.mark.parametrize("name", ["out.h5", "out_%C.h5"])
def test_after_what_failed_the_session_tries_again(tmp_path, name):
    output = tmp_path / name
    for _ in range(2):
        with pytest.raises(UserCodeError):
            correlate(FRAMES, [1], kind=Failing, output=output, progress=False)
        assert not os.listdir(tmp_path)
    path = Path(correlate(FRAMES, [1], output=output, progress=False).path)
    assert path.name == name.replace("%C", "000")
    with pytest.raises(ConfigError, match="exists; say --overwrite"):
        correlate(FRAMES, [1], output=path, progress=False)
    assert correlate(FRAMES, [2], output=path, overwrite=True, progress=False).delays.tolist() == [2]


def test_a_result_never_takes_the_place_of_its_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("mask.npy", np.ones(FRAMES.shape[1:], bool))
    with h5py.File("data.h5", "w") as file:
        file["frames"] = FRAMES
        data = file["frames"]
        for group in ("system", "user"):  # it might be a result itself
            file.create_group(group)
        with pytest.raises(ConfigError, match=r"h5output: .*data.h5' is the file of frames, which is read"):
            correlate(data, [1], output="data.h5", overwrite=True, progress=False)
    os.link("data.h5", "other.h5")
    system = {"dataset": "h5=data.h5", "mask": "mask.npy", "delays": [1], "times": 9, "user_class": KINDS["G2"]}
    for output, key in (("other.h5", "dataset 'h5=data.h5'"), ("mask.npy", "mask")):
        with pytest.raises(ConfigError, match=f"h5output: .*{output}' is the file of {key}, which is read"):
            run(system | {"h5output": output, "overwrite": True})
    assert sorted(os.listdir()) == ["data.h5", "mask.npy", "other.h5"]


def test_a_run_that_failed_leaves_no_file_open(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File("data.h5", "w") as file:
        file["frames"] = FRAMES
    np.save("mask.npy", np.ones(FRAMES.shape[1:], bool))
    with pytest.raises(UserCodeError) as kept:  # as a session keeps the traceback
        run({"dataset": "h5=data.h5", "mask": "mask.npy", "delays": [1], "times": 9, "user_class": Failing})
    assert kept.value.__traceback__ is not None
    open_now = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert str(tmp_path / "data.h5") not in open_now


def test_the_file_stays_where_a_forked_process_ends():
    result = correlate(FRAMES, [1], progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other threads
        pid = os.fork()
    if not pid:
        try:
            del result
            gc.collect()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert result.array("G2", 1).shape == FRAMES.shape[1:]


def test_the_result_is_exported_where_that_is_asked_for(tmp_path):
    correlate(FRAMES, [1], output=tmp_path / "out.h5", export=True, progress=False)
    with h5py.File(tmp_path / "out_xpcs.hdf") as file:
        assert file["xpcs/multitau/delay_list"][:].tolist() == [1]


def test_what_the_data_state_is_in_the_result(tmp_path, caplog):
    np.save(tmp_path / "mask.npy", np.ones(SHAPE, np.int8))
    system = {"dataset": write_master(tmp_path), "mask": str(tmp_path / "mask.npy"), "times": 30, "delays": [1]}
    with h5py.File(run(system | {"user_class": G2atEnd, "h5output": str(tmp_path / "out.h5")}).path) as file:
        assert file["system/instrument/photon_energy"][()] == pytest.approx(8.0)
    assert "the detector itself calls bad" in caplog.text


def test_the_file_goes_with_the_result():
    result = correlate(FRAMES, [1], progress=False)
    path = Path(result.path)
    assert path.exists()
    del result
    gc.collect()
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (
            {"kind": "mulitau"},
            "kind must be one of G2, multitau, twotime, photons, a class, or a list of these, not 'mulitau'; did",
        ),
        ({"counters": PULSES[::-1]}, "counters: must increase"),
        ({"counters": PULSES[:-1]}, "counters: must be 3.. whole numbers"),
        ({"mask": np.ones((7, 6))}, r"mask: its shape is \(7, 6\), that of a frame \(6, 7\)"),
        ({"mask": np.zeros((6, 7))}, "mask: the array is 0 everywhere"),
        ({"color": np.ones((3, 3), int)}, "color"),
        ({"color": "none.npy", "q": [1, 2]}, "color.*none.npy"),
        ({"kind": []}, "kind: the list is empty; it must have some of G2, multitau"),
        ({"output": 5}, "output: must be the name of a file, not 5"),
        ({"kind": [G2atEnd, 3]}, "kind must be one of .*, not 3"),
        ({"frames": [[[1, 2]], [[1]]]}, "frames: they must all have the same shape"),
        ({"frames": np.ma.masked_greater(FRAMES, 8)}, "frames: what a masked array masks"),
        (
            {"frames": SimpleNamespace(shape=(np.nan, 3), dtype=np.dtype("u2"), __getitem__=None)},
            "how many there are is",
        ),
        ({"frames": FRAMES[:, :0]}, "frames: they have no elements"),
        ({"mask": np.full((6, 7), np.nan)}, "mask: must be numbers"),
        ({"counters": PULSES.astype(np.uint64) + np.uint64(1 << 63)}, "counters: must be between"),
        ({"delays": "1,2"}, "delays must be a list"),
        ({"delays": [1, 1 << 70]}, "delays: .* more than the largest delay"),
        ({"times": 0}, "times must be at least 1"),
        ({"color": COLOR, "q": {1: 0.1, 2: None}}, "q: it must be numbers"),
        ({"q": [1, 2]}, "q: it says what colours stand for, and color is not given"),
        ({"color": COLOR, "q": [1.0]}, "q: there must be one number for each of the 2 colours"),
        ({"delays": [3, 1]}, "delays"),
        ({"normalisation": "pixel"}, "normalisation"),
        ({"frames": FRAMES.astype(str)}, "frames: must be real numbers"),
        ({"frames": {"data": FRAMES}}, r"frames: is a group, not an array"),
        ({"frames": np.zeros(5)}, "frames: must be real numbers, one frame after the other"),
        ({"frames": FRAMES[:0]}, "frames: there is none"),
        ({"kind": "twotime", "delays": [1, 17]}, "take 16 or 18"),
    ],
)
def test_what_is_wrong_is_said(more, what, caplog):
    given = {"frames": FRAMES, "delays": [1], "progress": False} | more
    if "normalisation" in more:  # a warning, for a class of one's own may take it
        correlate(given.pop("frames"), **given)
        assert what in caplog.text
        return
    with pytest.raises(ConfigError, match=what):
        correlate(given.pop("frames"), **given)


def test_what_is_no_dict_no_name_and_no_class_is_said(tmp_path):
    for given, what in (((None, None), "system_params must be a dict"), (({}, 5), "user_params must be a dict")):
        with pytest.raises(ConfigError, match=what):
            run(*given)
    with pytest.raises(ConfigError, match="it takes the name of a file, not None"):
        open_result(None)
    correlate(FRAMES, [1], progress=False, output=tmp_path / "out.h5")
    with pytest.raises(ConfigError, match=r"out\.h5: --class x: it is the result of a single class"):
        open_result(tmp_path / "out.h5", of="x")


def test_a_name_of_memory_opens_nothing(tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((6, 7), np.int8))
    system = {"dataset": "memory=frames", "mask": str(tmp_path / "mask.npy"), "times": 30, "delays": DELAYS}
    with pytest.raises(ConfigError, match=r"parcorana\.correlate takes them"):
        run(system | {"user_class": G2atEnd})


def test_kinds_are_documented(root):
    page = (root / "docs" / "python.md").read_text(encoding="utf-8")
    assert all(f"`'{kind}'`" in page for kind in KINDS)
