"""What user code returns is checked; an exception in it ends the run, and is told with the user's traceback."""

import resource
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from local import run_local

from parcorana import RunError
from parcorana.calculation.guard import callback
from parcorana.errors import UserCodeError
from parcorana.reference import KINDS, g2
from parcorana.tools import driver, failure
from parcorana.tools.failure import describe, end_badly
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed

TIMES, DELAYS, SHAPE = 12, [1, 3, 8], (2, 5, 7)


# -- what workerCalc and workerReduce return -------------------------------------


def made(**changes):
    """Return a class whose callbacks are as given, the rest as in the smallest class."""

    def init(self, user_params, system_params, mpiParams):
        self.D = len(system_params["delays"])

    def init_worker(self, n):
        self.n = n

    body = {
        "__init__": init,
        "arrayNames": lambda self: ["S", "R"],
        "initWorker": init_worker,
        "workerCalc": lambda self, T, k, X: results(self),
        "viewerPublish": lambda self, *args: None,
    }
    return type("Mine", (), body | changes)


def results(self, **changes):
    arrays = {"S": np.zeros((self.D, self.n)), "R": np.ones((self.D, self.n))}
    given = {"arrays": arrays, "counts": np.zeros(self.D, np.int64), "int8": np.zeros(self.n, np.int8)} | changes
    return tuple(given.values())


def run_made(tmp_path, **changes):
    frames = np.ones((10, *SHAPE), np.float32)
    workers = changes.pop("workers", 1)
    system = {"times": TIMES, "delays": DELAYS}
    return run_local(tmp_path, made(**changes), np.arange(10), frames, workers=workers, **system)


WRONG_RESULTS = [
    (lambda self: None, "workerCalc must return (arrays, counts, int8array), not NoneType"),
    (lambda self: results(self)[:2], "workerCalc must return (arrays, counts, int8array), not a tuple of 2"),
    (lambda self: results(self, arrays=[]), "the arrays must be a dict with the names ['R', 'S'], not list"),
    (lambda self: results(self, arrays={"S": 1}), "the arrays must be a dict with the names ['R', 'S'], not ['S']"),
    (
        lambda self: results(self, arrays=results(self)[0] | {"R": np.ones((self.D, self.n), "f4")}),
        "array 'R' must be float64 (3, 70), not float32 (3, 70)",
    ),
    (
        lambda self: results(self, arrays=results(self)[0] | {"S": np.ones((self.n, self.D))}),
        "array 'S' must be float64 (3, 70), not float64 (70, 3)",
    ),
    (lambda self: results(self, arrays=results(self)[0] | {"S": 0.0}), "'S' must be float64 (3, 70), not float"),
    (lambda self: results(self, counts=[0, 0, 0]), "counts must be int64 (3,), not list"),
    (lambda self: results(self, counts=np.zeros(3)), "counts must be int64 (3,), not float64 (3,)"),
    (lambda self: results(self, counts=np.zeros(4, int)), "counts must be int64 (3,), not int64 (4,)"),
    (
        lambda self: results(self, counts=np.zeros(3), int8=[]),
        "counts must be int64 (3,), not float64 (3,); int8array must be int8 (70,), not list",
    ),
    (lambda self: results(self, int8=np.zeros(70, bool)), "int8array must be int8 (70,), not bool (70,)"),
]


def change_T(self, T, k, X):
    T[:k] -= T[:k].min()
    return results(self)


def change_X(self, T, k, X):
    X[:k] -= X[:k].mean(axis=0)
    return results(self)


@pytest.mark.parametrize("change", [change_T, change_X])
def test_what_is_stored_must_not_be_changed(tmp_path, change):
    frames = np.random.default_rng(0).random((10, *SHAPE)).astype(np.float32)
    given = tmp_path, made(workerCalc=change), np.arange(5, 15)[::-1], frames
    run_local(*given, times=TIMES, delays=DELAYS)  # after the last update nobody needs it
    with pytest.raises(RunError) as caught:
        run_local(*given, times=TIMES, delays=DELAYS, update=4)
    assert f"Mine.workerCalc has changed {change.__name__[-1]}, which is the rolling buffer" in str(caught.value)


class Normalized:
    """Changes what the class gives that it is made from."""

    def workerCalc(self, T, k, X):
        arrays, counts, saturated = super().workerCalc(T, k, X)
        self.seen[self.mpiParams.processed] = arrays["G2"].copy(), counts.copy()
        arrays["G2"] /= np.maximum(counts, 1)[:, np.newaxis]
        counts[0] += 1
        return arrays, counts, saturated

    def workerReduce(self, arrays, counts, int8array):
        reduced = super().workerReduce(arrays, counts, int8array)
        arrays["IP"][...] = np.nan
        return reduced


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_class_makes_of_sums_has_no_part_in_the_next_ones(tmp_path, kind):
    base = {"atend": G2atEnd, "accumulator": G2IncrementalAccumulator, "windowed": G2IncrementalWindowed}[kind]
    mine = type("Mine", (Normalized, base), {"seen": {}})
    frames = np.random.default_rng(0).poisson(5, (40, *SHAPE)).astype(np.float32)
    run_local(tmp_path, mine, np.arange(40), frames, times=TIMES, delays=DELAYS, update=9)
    assert list(mine.seen) == [9, 18, 27, 36, 40]
    for processed, (G2, counts) in mine.seen.items():
        expected = g2(np.arange(40), frames.reshape(40, -1), TIMES, DELAYS, kind, limit=processed)
        assert np.array_equal(G2, expected["G2"]) and np.array_equal(counts, expected["counts"])


@pytest.mark.parametrize(("returned", "words"), WRONG_RESULTS)
def test_results_are_checked(tmp_path, returned, words):
    run_made(tmp_path)
    with pytest.raises(RunError) as error:
        run_made(tmp_path, workerCalc=lambda self, T, k, X: returned(self))
    assert "Mine.workerCalc" in str(error.value) and words in str(error.value)


@pytest.mark.parametrize("names", ["S", [], ["S", "S"], ["S", 1], None, {"S": 1}])
def test_array_names_are_checked(tmp_path, names):
    with pytest.raises(RunError, match=r"Mine\.arrayNames must return a list of distinct strings, not"):
        run_made(tmp_path, arrayNames=lambda self: names)


WRONG_REDUCED = [
    (lambda n: 5, "must return a dict of name to array, not int"),
    (lambda n: {1: 5}, "the names must be strings, not 1"),
    (lambda n: {"a": "x"}, "array 'a' must hold numbers, not <U1"),
    (lambda n: {"a": [True]}, "array 'a' must hold numbers, not bool"),
    (lambda n: {"a": np.zeros(n)}, "'a' must have the same dtype and shape on all workers, not float64 (24,)"),
    (
        lambda n: {"a": 1} if n == 24 else {},
        "same dtype and shape on all workers, not int64 () on the first and nothing",
    ),
]


@pytest.mark.parametrize(("returned", "words"), WRONG_REDUCED)
def test_reduced_arrays_are_checked(tmp_path, returned, words):
    both = {"viewerPublishReduced": lambda self, *args: None, "workers": 3}
    run_made(tmp_path, workerReduce=lambda self, *args: {"a": 1}, **both)
    with pytest.raises(RunError) as error:
        run_made(tmp_path, workerReduce=lambda self, *args: returned(self.n), **both)
    assert "Mine.workerReduce" in str(error.value) and words in str(error.value)


def test_workers_that_disagree_on_counts(tmp_path):
    def calc(self, T, k, X):
        return results(self, counts=np.full(self.D, self.n))

    with pytest.raises(RunError, match=r"Mine\.workerCalc: workers disagree on counts"):
        run_made(tmp_path, workerCalc=calc, workers=3)


# -- exceptions --------------------------------------------------------------------

FAILING = """\
import numpy as np

import parcorana


def fail(self, where):
    if where == {where!r} and self.mpiParams.role in {roles!r}:
        raise {error}


class Plain(parcorana.UserBase):
    def arrayNames(self):
        return ["sum"]

    def initWorker(self, numElementsWorker):
        self.n = numElementsWorker

    def workerCalc(self, T, numTimesFilled, X):
        D = len(self.system_params["delays"])
        return {{"sum": np.zeros((D, self.n))}}, np.zeros(D, np.int64), np.zeros(self.n, np.int8)

    def workerReduce(self, arrays, counts, int8array):
        return {{"n": self.n}}

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        pass

    def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
        pass

    def viewerPublishArray(self, name, delay, ndarray, h5UserGroup):
        pass


class Failing(Plain):
    def __init__(self, user_params, system_params, mpiParams):
        super().__init__(user_params, system_params, mpiParams)
        fail(self, "__init__")

    def arrayNames(self):
        fail(self, "arrayNames")
        return super().arrayNames()


def failing(name):
    def call(self, *args):
        fail(self, name)
        inherited = getattr(Plain, name)
        return inherited(self, *args) if getattr(parcorana.UserBase, name, None) is not inherited else args and args[0]

    return call


if {name!r} not in vars(Failing):
    setattr(Failing, {name!r}, failing({name!r}))

system_params = {system!r} | {{"user_class": Failing}}
user_params = {{"save_arrays": True}}
"""
SERVER = ["initServer", "eventOk", "finalDataArray"]
WORKER = ["initWorker", "adjustData", "adjustTerms", "workerCalc", "workerReduce"]
VIEWER = ["initViewer", "viewerPublish", "viewerPublishReduced", "viewerPublishArray"]
AT = {
    "initServer": "server before the first event",
    "eventOk": "server at event 0 of the sequence",
    "finalDataArray": "server at event 0 of the sequence",
    "initWorker": "worker before the first event",
    "adjustData": "worker at event 0 of those processed, T=0",
    "adjustTerms": "worker at event 0 of those processed",
    "workerCalc": "worker at the update at 70 events",
    "workerReduce": "worker at the update at 70 events",
    "initViewer": "viewer before the first update",
    "viewerPublish": "viewer at the update at 70 events",
    "viewerPublishReduced": "viewer at the update at 70 events",
    "viewerPublishArray": "viewer at the update at 70 events",
}


def write_failing(setup, where, error="ZeroDivisionError('by me')", roles=("server", "worker", "viewer")):
    text = FAILING.format(where=where, roles=roles, error=error, name=where, system=setup.system)
    if where == "viewerPublish":
        text += "Failing.viewerPublishArray = None\n"
    (setup.folder / "config.py").write_text(text, encoding="utf-8")


def check_failure(code, err, words, where, name="Failing"):
    assert code == 1, err
    lines = err.splitlines()
    (last,) = [k for k, line in enumerate(lines) if line.startswith("parCorAnaDriver: ")]
    assert words in lines[last]
    frames = [k for k, line in enumerate(lines) if line.startswith("  File ")]
    assert frames and all(k < last for k in frames)
    assert "config.py" in lines[frames[0]]  # from the user's frame on
    assert "raise" in lines[frames[-1] + 1] and ", in fail" in lines[frames[-1]]
    assert "Traceback" not in err and "/parcorana/pipeline" not in err
    assert f"in {name}.{where}: " in lines[last]


def drive_here(setup, monkeypatch, capsys, *args):
    """Run the command in this process."""
    monkeypatch.chdir(setup.folder)
    code = driver.main(["-c", "config.py", *args])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("where", [*SERVER, *WORKER, *VIEWER])
def test_an_exception_is_told_with_the_users_traceback(setup, monkeypatch, capsys, where):
    write_failing(setup, where)
    code, err = drive_here(setup, monkeypatch, capsys)
    check_failure(code, err, f"{AT[where]}, in Failing.{where}: ZeroDivisionError: by me", where)


ON_BLOCKS = """\
import numpy as np

import parcorana
from parcorana import userg2


class Small(parcorana.BlockBase):
    takes_pieces = True

    def arrays(self, elements):
        self.sum = np.zeros(elements)
        return {{"sum": parcorana.PerElement(self.sum)}}

    def adjust(self, block):
        pass

    def enter(self, block):
        self.sum += block.data.sum(axis=0)

    def collect(self, last, buffer):
        return {{"sum": parcorana.PerElement(self.sum)}}

    def publish(self, update, group):
        pass

    def publish_piece(self, name, index, ndarray, group):
        pass


class Mine({base}):
    def {where}(self, *args):
        def fail():
            raise ZeroDivisionError("by me")

        fail()


system_params = {system!r} | {{"user_class": Mine}}
user_params = {{}}
"""
OF_MINE = {
    ("userg2.G2IncrementalWindowed", "workerCalc"): AT["workerCalc"],
    ("userg2.G2IncrementalWindowed", "viewerPublishReduced"): AT["viewerPublishReduced"],
    ("userg2.G2atEnd", "adjustData"): "worker at event 0 of those processed, T=0",
    ("Small", "arrays"): AT["initWorker"],
    ("Small", "adjust"): "worker at event 0 of those processed",
    ("Small", "enter"): "worker at event 0 of those processed",
    ("Small", "collect"): "worker at the update at 70 events",
    ("Small", "publish"): "viewer at the update at 70 events",
    ("Small", "publish_piece"): "viewer at the update at 70 events",
}


@pytest.mark.parametrize(("base", "where"), OF_MINE)
def test_of_a_class_on_blocks_as_well(setup, monkeypatch, capsys, base, where):
    """The user's method is named, and shown, not the program's that calls it."""
    text = ON_BLOCKS.format(base=base, where=where, system=setup.system)
    (setup.folder / "config.py").write_text(text, encoding="utf-8")
    code, err = drive_here(setup, monkeypatch, capsys)
    words = f"{OF_MINE[base, where]}, in Mine.{where}: ZeroDivisionError: by me"
    check_failure(code, err, words, where, "Mine")


@pytest.mark.parametrize("where", ["__init__", "arrayNames"])
@pytest.mark.parametrize("role", ["viewer", "server", "worker"])
def test_an_exception_at_the_start_names_the_role(setup, monkeypatch, capsys, where, role):
    write_failing(setup, where, roles=(role,))
    code, err = drive_here(setup, monkeypatch, capsys)
    check_failure(code, err, f"{role} before the first event, in Failing.{where}: ZeroDivisionError: by me", where)


AWKWARD = {
    "OSError('the plot server is gone')": "OSError: the plot server is gone",
    "StopIteration()": "StopIteration: ",
    "SystemExit(0)": "SystemExit: 0",
    "GeneratorExit": "GeneratorExit: ",
    "parcorana.errors.EventError('x')": "EventError: x",
    "MemoryError('all gone')": "memory ran out (all gone)",
}


@pytest.mark.parametrize("error", AWKWARD)
@pytest.mark.parametrize("where", ["viewerPublishReduced", "finalDataArray", "initViewer"])
def test_no_exception_is_taken_for_another(setup, monkeypatch, capsys, where, error):
    write_failing(setup, where, error)
    code, err = drive_here(setup, monkeypatch, capsys)
    check_failure(code, err, f"{AT[where]}, in Failing.{where}: {AWKWARD[error]}".strip(), where)
    assert "cannot publish" not in err and "cannot write" not in err


def test_an_error_in_our_own_words_is_one_line(setup, monkeypatch, capsys):
    write_failing(setup, "workerCalc", "parcorana.RunError('the sample has gone')")
    code, err = drive_here(setup, monkeypatch, capsys)
    assert code == 1
    assert "parCorAnaDriver: worker at the update at 70 events, in Failing.workerCalc: the sample has gone\n" in err
    assert "File" not in err


def test_a_wrong_number_of_arguments_names_the_callback(setup, monkeypatch, capsys):
    write_failing(setup, "nowhere")
    with open(setup.folder / "config.py", "a", encoding="utf-8") as file:
        file.write("Failing.adjustData = lambda self: None\n")
    code, err = drive_here(setup, monkeypatch, capsys)
    assert code == 1 and "in Failing.adjustData: TypeError: " in err and "Traceback" not in err


def test_nothing_is_in_the_way_of_the_next_try(setup, monkeypatch, capsys):
    setup.system["overwrite"] = False
    write_failing(setup, "eventOk")
    assert drive_here(setup, monkeypatch, capsys)[0] == 1
    assert not list(setup.folder.glob("out.h5*"))
    write_failing(setup, "viewerPublishReduced")  # at the first update: the file was begun
    assert drive_here(setup, monkeypatch, capsys)[0] == 1
    write_failing(setup, "nowhere")
    assert drive_here(setup, monkeypatch, capsys)[0] == 0


def test_debug_shows_the_whole_way(setup, monkeypatch, capsys):
    write_failing(setup, "eventOk")
    _, err = drive_here(setup, monkeypatch, capsys, "-v", "debug")
    assert "pipeline/server.py" in err and ", in fail" in err


UNDER_MPI = [
    ("__init__", ("worker",), ZeroDivisionError, "rank 2, worker before the first event"),
    ("arrayNames", ("server",), ZeroDivisionError, "rank 1, server before the first event"),
    ("initServer", ("server",), ZeroDivisionError, "rank 1, server before the first event"),
    ("finalDataArray", ("server",), ZeroDivisionError, "rank 1, server at event 0"),
    ("adjustData", ("worker",), ZeroDivisionError, "rank 2, worker at event 0"),
    ("workerReduce", ("worker",), ZeroDivisionError, "rank 2, worker at the update at 70 events"),
    ("initViewer", ("viewer",), OSError, "rank 0, viewer before the first update"),
    ("viewerPublishReduced", ("viewer",), OSError, "rank 0, viewer at the update at 70 events"),
]


@pytest.mark.parametrize(("where", "roles", "error", "words"), UNDER_MPI)
def test_under_mpiexec_all_ranks_end(setup, where, roles, error, words):
    write_failing(setup, where, f"{error.__name__}('by me')", roles)
    run = setup.drive(ranks=4)
    check_failure(run.returncode, run.stderr, f"{words}", where)
    assert f"in Failing.{where}: {error.__name__}: by me" in run.stderr


@pytest.mark.parametrize("ranks", [0, 4])
def test_a_config_error_at_the_start_is_a_wrong_input(setup, ranks):
    write_failing(setup, "__init__", "parcorana.ConfigError('user_params lacks the key x')", ("worker",))
    run = setup.drive(ranks=ranks)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == "parCorAnaDriver: user_params lacks the key x"
    assert not list(setup.folder.glob("out.h5*"))


def test_what_checkparams_raises_by_mistake_is_told_once(setup):
    setup.write()
    text = (setup.folder / "config.py").read_text(encoding="utf-8")
    text = text.replace("userg2.G2atEnd", "Mine").replace("system_params =", MISTAKEN + "\nsystem_params =", 1)
    (setup.folder / "config.py").write_text(text, encoding="utf-8")
    run = setup.drive(ranks=4)
    assert run.returncode == 1
    assert run.stderr.count("KeyError: 'width'") == 1 and 'config.py", line' in run.stderr


MISTAKEN = """
class Mine(userg2.G2atEnd):
    @classmethod
    def checkParams(cls, user_params, mask, log):
        user_params["width"]
"""


@pytest.mark.parametrize(("name", "value"), [("eventOk", np.ones(2)), ("finalDataArray", [[1], [1, 2]])])
def test_what_cannot_be_used_of_a_callback_is_told_as_its_fault(name, value):
    mine = type("Mine", (), {name: lambda self, *args: value})()
    with pytest.raises(UserCodeError) as caught:
        callback(mine, name)(None)
    assert caught.value.where == f"Mine.{name}"
    assert f"in Mine.{name}: ValueError: " in describe(caught.value, [], None, False)


@pytest.mark.parametrize("words", ["no beam", "Mine.eventOk: no beam"])
def test_an_error_in_our_words_names_the_callback_once(words):
    def fail(self, evt):
        raise RunError(words)

    mine = type("Mine", (), {"eventOk": fail})()
    with pytest.raises(RunError) as caught:
        callback(mine, "eventOk")(None)
    told = describe(caught.value, [], None, False)
    assert told.count("Mine.eventOk") == 1 and told.endswith(": no beam")


class _NoText(Exception):
    def __str__(self):
        raise SystemExit(0)


class _NoSource:
    def get_source(self, name):
        raise SystemExit(0)


@pytest.mark.parametrize("error", [_NoText, ValueError])
def test_an_error_is_told_whatever_fails_in_telling_it(error):
    """Its text, or the traceback's lines of code."""
    space = {"__name__": "strange", "__loader__": _NoSource(), "error": error}
    exec(compile("def eventOk(self, evt):\n    raise error('by me')\n", "strange.pyz", "exec"), space)
    mine = type("Mine", (), {"eventOk": space["eventOk"]})()
    with pytest.raises(UserCodeError) as caught:
        callback(mine, "eventOk")(None)
    told = describe(caught.value, [], None, False)
    text = "by me" if error is ValueError else "its text cannot be made"
    assert f"in Mine.eventOk: {error.__name__}: {text}" in told and "SystemExit" in told


@pytest.mark.parametrize("fails", ["say", "give_back", "_exit_soon"])
def test_all_ranks_end_whatever_fails_in_ending_them(monkeypatch, fails):
    def fail(*args):
        raise SystemExit(0)

    ended = []
    monkeypatch.setattr(failure.mpi, "abort", ended.append)
    monkeypatch.setattr(failure, fails, fail)
    with suppress(SystemExit):  # mpi.abort does not come back
        assert end_badly("by me", SimpleNamespace(comm=object()), []) == 1
    assert ended == [1]
    failure.faulthandler.cancel_dump_traceback_later()


def test_a_process_ends_badly_without_a_free_descriptor(capfd):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert end_badly("by me", None, []) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert capfd.readouterr().err == "by me\n"
