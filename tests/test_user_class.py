"""What a class defines is called, or refused in a sentence: every callback, in every kind of class."""

import os
import re
from contextlib import redirect_stderr
from functools import cached_property

import numpy as np
import pytest
from conftest import status_of
from local import run_local

from parcorana import Common, ConfigError, RunError, UserBase
from parcorana.calculation.guard import defines
from parcorana.calculation.says import reduced_bytes
from parcorana.calculation.userclass import CALLBACKS, BlockHooks
from parcorana.tools import driver
from parcorana.tools.compare import compare
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed

SHAPE, TIMES, DELAYS = (2, 3, 4), 9, [1, 2]
SHIPPED = [G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed]
HOOKS = [name for name in vars(BlockHooks) if name[0] != "_"]


class Own:
    """A class of the user's, made from nothing, with what every class needs."""

    def __init__(self, user_params, system_params, mpiParams):
        self.system_params, self.mpiParams = system_params, mpiParams

    def arrayNames(self):
        return ["sum"]

    def initWorker(self, numElementsWorker):
        self.n = numElementsWorker

    def workerCalc(self, T, numTimesFilled, X):
        D = len(self.system_params["delays"])
        return {"sum": np.zeros((D, self.n))}, np.zeros(D, np.int64), np.zeros(self.n, np.int8)

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        pass


class Derived(Own, UserBase):
    """The same, made from `UserBase`."""


Bare = type("Bare", (UserBase,), {name: do for name, do in vars(Own).items() if name[0] != "_"})


class Reduces(Derived):
    """One that sends small arrays, and each full one by itself."""

    def workerReduce(self, arrays, counts, int8array):
        return {"n": self.n}

    def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
        assert reduced["n"] == np.prod(SHAPE)

    def viewerPublishArray(self, name, delay, ndarray, h5UserGroup):
        pass


KINDS = [Own, Derived, Reduces, *SHIPPED]


def run_class(tmp_path, user_class, **more):
    """Run a class on two runs of events, in one process, checkpoints and all; return the roles."""
    counters = np.concatenate([np.arange(15), np.arange(12)])
    frames = np.random.default_rng(0).poisson(5, (len(counters), *SHAPE)).astype(np.float32)
    system = {"times": TIMES, "update": 10, "delays": DELAYS, "block": 5} | more.pop("system", {})
    more = {"runs": [0] * 15 + [1] * 12, "user": {}, "workers": 2} | more
    return run_local(tmp_path, user_class, counters, frames, **more, **system)


def noting(name, base, called):
    """Return a callback that notes that it is called, and does what it replaces, or as little as it may."""
    inherited = getattr(base, name, None)

    def call(self, *args):
        called.append(name)
        if inherited is not None and inherited is not getattr(UserBase, name):
            return inherited(self, *args)
        defaults = {"eventOk": lambda evt: True, "finalDataArray": lambda array, evt: array}
        defaults |= {"workerReduce": lambda *args: {"x": 1}, "getState": dict}
        return defaults[name](*args) if name in defaults else None

    if name in ("checkParams", "reducedBytes"):
        return classmethod(lambda cls, *args: called.append(name) or 0)
    return call


# What is refused, and the beginning of what is said instead. Whatever is not here must be called.
BOTH = "is called only of a class that has"
REFUSED = {
    (Own, "workerReduce"): BOTH,
    (Own, "viewerPublishReduced"): BOTH,
    (Own, "viewerPublishArray"): BOTH,
    (Own, "reducedBytes"): BOTH,
    (Derived, "workerReduce"): BOTH,
    (Derived, "viewerPublishReduced"): BOTH,
    (Derived, "viewerPublishArray"): BOTH,
    (Derived, "reducedBytes"): BOTH,
    **{(kind, "viewerPublish"): "for viewerPublishArray is called instead" for kind in (Reduces, *SHIPPED)},
    **{
        (kind, name): f"for {kind.__name__} keeps its sums by whole blocks"
        for kind in SHIPPED[1:]
        for name in ("adjustTerms", "adjustTermsBlock")
    },
}
# Called by another part of the program than a run: of a class that has nothing else to call, by these tests below.
ELSEWHERE = {"getState", "setState", "calcAndPublishForTestAlt", "reducedBytes"}


@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.parametrize("kind", KINDS)
def test_called_or_refused(tmp_path, kind, name):
    called = []
    Mine = type("Mine", (kind,), {name: noting(name, kind, called)})
    if (kind, name) in REFUSED:
        with pytest.raises(ConfigError, match=f"^user_class Mine: {name} .*{re.escape(REFUSED[kind, name])}"):
            run_class(tmp_path, Mine)
        assert called == []
        return
    elsewhere(tmp_path, Mine, name) if name in ELSEWHERE else run_class(tmp_path, Mine)
    assert name in called


def elsewhere(tmp_path, user_class, name):
    """Do the part of the program that calls it: the memory formula, ``--test_alt``, a checkpoint and its resuming."""
    if name == "reducedBytes":
        reduced_bytes(run_class(tmp_path, user_class)[0].config)
    elif name == "calcAndPublishForTestAlt":
        run_driver(tmp_path, user_class, {}, "--test_alt")
    else:
        rest = {"getState": lambda self: {}, "setState": lambda self, state: None}
        body = {other: do for other, do in rest.items() if not defines(user_class, other)}
        interrupt(tmp_path, type("Whole", (user_class,), body), {})


def interrupt(tmp_path, user_class, user):
    """Run a class until it fails at 40 events, and go on."""
    publish = "viewerPublishReduced" if defines(user_class, "workerReduce") else "viewerPublish"

    def fail_once(self, *args):
        if self.mpiParams.processed == 40 and not (tmp_path / "failed").exists():
            (tmp_path / "failed").touch()
            raise RunError("on purpose")
        return getattr(user_class, publish)(self, *args)

    fails = type("Fails", (user_class,), {publish: fail_once})
    run_driver(tmp_path, fails, user, status=1, checkpoint=10)
    run_driver(tmp_path, fails, user, "--resume", checkpoint=10)


def run_driver(tmp_path, user_class, user, *args, status=0, name="out.h5", said=None, **more):
    """Run the command in this process, on a class that is made here; put what it says into the file `said`."""
    np.save(tmp_path / "mask.npy", np.ones(SHAPE, np.int8))
    mask = str(tmp_path / "mask.npy")
    system = {"dataset": "sim=brownian:shape=2x3x4:events=60:tau=5", "mask": mask, "testmask": mask, "times": TIMES}
    system |= {"delays": DELAYS, "block": 5, "update": 20, "h5output": str(tmp_path / name)} | more
    Given.system, Given.user = system | {"user_class": user_class}, user
    text = "from test_user_class import Given\nsystem_params, user_params = Given.system, Given.user\n"
    (tmp_path / "config.py").write_text(text, encoding="utf-8")
    with open(said or os.devnull, "w", encoding="utf-8") as file, redirect_stderr(file):
        assert status_of(driver.main, "-c", tmp_path / "config.py", *args) == status


class Given:
    """What the config file of `run_driver` takes."""


# -- names that are no callbacks ---------------------------------------------------


@pytest.mark.parametrize("kind", [Own, Derived, Reduces])
def test_a_method_of_ones_own_is_never_called_for_its_name(tmp_path, kind):
    """The names of the shipped classes' hooks and methods are free for everybody else."""
    taken = {name for shipped in SHIPPED for cls in shipped.__mro__[:-2] for name in vars(cls)}
    taken = {name for name in {*taken, *HOOKS} if not name.startswith("__") and name not in vars(UserBase)}

    def call(self, *args):
        raise AssertionError("called for its name")

    assert taken >= {"enterEvents", "watchEvents", "adjustEvents", "workerCalcReduced", "hooks"}
    Mine = type("Mine", (kind,), dict.fromkeys(taken, call))
    assert run_class(tmp_path, Mine)[0].finished["processed"] == 27


@pytest.mark.parametrize("kind", SHIPPED)
@pytest.mark.parametrize("name", [*HOOKS, "_reset", "TURNOVERS", "write_results", "forgets", "takes"])
@pytest.mark.parametrize("where", ["itself", "mixin before", "mixin after"])
def test_a_name_of_the_shipped_class_is_refused(tmp_path, kind, name, where):
    """But not those that it does not have."""
    body = {name: lambda self, *args: None}
    if where == "itself":
        Mine = type("Mine", (kind,), body)
    else:
        mixin = type("Mixin", (), body)
        Mine = type("Mine", (mixin, kind) if where == "mixin before" else (kind, mixin), {})
    if not hasattr(kind, name):
        run_class(tmp_path, Mine)
        return
    with pytest.raises(ConfigError, match=f"^user_class Mine: '{name}' is a name that {kind.__name__} uses itself"):
        run_class(tmp_path, Mine)


@pytest.mark.parametrize("kind", SHIPPED)
@pytest.mark.parametrize("name", ["counts", "saturated", "timeline", "G2", "delays", "total", "entered", "_reset"])
def test_an_attribute_of_the_shipped_class_is_refused(tmp_path, kind, name):
    """A user's count of events called `total` was added to the sums: now it is either apart or an error."""

    class Mine(kind):
        def __init__(self, *args):
            super().__init__(*args)
            setattr(self, name, 0)
            self.seen = 0

        def adjustData(self, data):
            setattr(self, name, getattr(self, name) + 1)
            self.seen += 1
            super().adjustData(data)

    own = {"total": kind is not G2IncrementalAccumulator, "entered": kind is not G2IncrementalWindowed}
    if own.get(name):
        roles = run_class(tmp_path, Mine)
        assert getattr(roles[-1].user, name) == roles[-1].user.seen == 27
        return
    with pytest.raises(ConfigError, match=rf"^user_class Mine: it sets self\.{name}, an attribute that the shipped"):
        run_class(tmp_path, Mine)


@pytest.mark.parametrize("kind", SHIPPED)
def test_names_of_what_is_reduced_and_kept_do_not_meet(tmp_path, kind):
    """A class adds to both, under any name; the curves stay as they are."""
    names = ["elements", "zero", "excess", "saturated", "intensity.sums", "counts", "total", "step", "entered", "G2"]
    user = {"saturated_value": 40.0}

    class Mine(kind):
        def workerReduce(self, arrays, counts, int8array):
            return super().workerReduce(arrays, counts, int8array) | dict.fromkeys(names, 7)

        def getState(self):
            return super().getState() | dict.fromkeys(names, Common(7))

    run_driver(tmp_path, kind, user, name="theirs.h5")
    interrupt(tmp_path, Mine, user)
    assert compare(tmp_path / "theirs.h5", tmp_path / "out.h5", rtol=0) == []


# -- what is no method, or not where it is looked for ---------------------------------

MUST = "must be a method, not"
WRONG = {
    "a property": ("eventOk", property(lambda self: lambda evt: True), MUST),
    "a cached property": ("adjustData", cached_property(lambda self: lambda data: None), MUST),
    "a value": ("finalDataArray", 5, f"{MUST} 5"),
    "a list": ("arrayNames", ["sum"], rf"{MUST} \['sum'\]"),
    "a class": ("initViewer", dict, MUST),
    "a generator": ("adjustData", lambda self, data: (yield), "nothing in adjustData would run, for it has a 'yield'"),
    "a plain checkParams": ("checkParams", lambda self, *args: None, "put @classmethod above it"),
    "a plain reducedBytes": ("reducedBytes", lambda self, *args: 5, "put @classmethod above it"),
    "an order": ("storage_order", "fortran", "must be 'C' or 'F', not 'fortran'"),
    "a word": ("mends_nonfinite", "no", "must be True or False, not 'no'"),
    "a method for a word": ("keeps_history", lambda self: True, "must be True or False, not <function"),
    "mends nothing": ("mends_nonfinite", True, "it has no adjustData of its own that would mend"),
    "one name": ("takes_params", "width", "must be a tuple of names of user_params, not 'width'"),
}


@pytest.mark.parametrize("kind", [Reduces, G2atEnd])
@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_called_is_refused(tmp_path, kind, case):
    name, value, words = WRONG[case]
    with pytest.raises(ConfigError, match=f"^user_class Mine: .*{words}"):
        run_class(tmp_path, type("Mine", (kind,), {name: value}))


@pytest.mark.parametrize("kind", [Own, Derived])
@pytest.mark.parametrize("how", [staticmethod, classmethod])
def test_static_and_class_methods_are_called(tmp_path, kind, how):
    called = []

    def event_ok(*args):
        called.append(len(args))
        return True

    run_class(tmp_path, type("Mine", (kind,), {"eventOk": how(event_ok)}))
    assert called == [2 if how is classmethod else 1] * 27


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["eventOk", "adjustData", "getState", "checkParams", "viewerPublish", "storage_order"])
@pytest.mark.parametrize("when", ["__init__", "initWorker", "initServer", "initViewer"])
def test_an_instance_is_not_looked_at(tmp_path, kind, name, when):
    """What an instance sets in the place of a callback, None or a function, would be called here and not there."""

    def begin(self, *args):
        if hasattr(kind, when):
            getattr(kind, when)(self, *args)
        setattr(self, name, None if len(name) % 2 else lambda *args: None)

    words = rf"^user_class Mine: it sets self\.{name}, (which is looked for in the class|an attribute that the shipped)"
    with pytest.raises(ConfigError, match=words):
        run_class(tmp_path, type("Mine", (kind,), {when: begin}))


def test_a_class_that_answers_for_everything_is_refused(tmp_path):
    class Mine(Own):
        def __getattr__(self, name):
            return lambda *args: None

    with pytest.raises(ConfigError, match=r"^user_class Mine: its __getattr__ answers for \w+, which is looked for in"):
        run_class(tmp_path, Mine)


@pytest.mark.parametrize("kind", KINDS)
def test_none_turns_a_callback_off(tmp_path, kind):
    called = []
    First = type("First", (kind,), {"eventOk": noting("eventOk", kind, called)})
    run_class(tmp_path, type("Mine", (First,), {"eventOk": None}))
    assert called == []
    run_class(tmp_path, First)
    assert called


# -- several base classes ----------------------------------------------------------------


@pytest.mark.parametrize("kind", [Bare, Derived, Reduces, *SHIPPED])
@pytest.mark.parametrize("name", ["eventOk", "adjustData", "initServer", "storage_order", "__init__"])
def test_a_mixin_is_called_or_refused(tmp_path, kind, name):
    """Behind a base that has the name, if only for its documentation, Python does not come to it."""
    called = []
    mixin = type("Mixin", (), {name: "F" if name == "storage_order" else noting(name, kind, called)})
    if name != "__init__":
        roles = run_class(tmp_path, type("Mine", (mixin, kind), {}))
        assert called or roles[-1].buffer.X.flags.f_contiguous
    mine = type("Mine", (kind, mixin), {})
    if kind in (Derived, Reduces) and name == "__init__":
        run_class(tmp_path, mine)  # that of a user's own class comes first, as it should in Python
        return
    hidden = f"^user_class Mine: {name} of Mixin is hidden by that of (UserBase|_G2): name Mixin first among the base"
    with pytest.raises(ConfigError, match=hidden):
        run_class(tmp_path, mine)


@pytest.mark.parametrize("kind", SHIPPED)
def test_what_replaces_a_part_of_a_shipped_class_without_calling_it_is_said(tmp_path, kind, caplog):
    class Mine(kind):
        def adjustData(self, data):
            data *= 1

        def bufferClears(self, T, numTimesFilled, X):
            pass

        def getState(self):
            return {}

    run_class(tmp_path, Mine, user={"saturated_value": 3.0}, runs=None)
    said = [record.message for record in caplog.records if "does not call" in record.message]
    does = "Mine.adjustData does not call super().adjustData(data): user_params['saturated_value'] does nothing"
    kept = ["getState"] + ["bufferClears"] * (kind is not G2atEnd)
    for name in kept:
        (line,) = (line for line in said if f"{name} does not call super().{name}" in line)
        assert line.endswith(f"so {kind.__name__} does not do its part of it")
    assert said.count(does) == 1 and len(said) == 1 + len(kept)


@pytest.mark.parametrize("kind", SHIPPED)
def test_what_the_curves_need_is_said(tmp_path, kind):
    class Other(kind):
        arrayNames, workerCalc = Own.arrayNames, Own.workerCalc

        def initWorker(self, numElementsWorker):
            super().initWorker(numElementsWorker)
            self.n = numElementsWorker

    with pytest.raises(
        RunError, match=r"^Other: delay curves need the arrays G2, IP, IF, and workerCalc returns no G2"
    ):
        run_class(tmp_path, Other)
    said = tmp_path / "said"
    run_driver(tmp_path, type("Mine", (kind,), {"workerReduce": Reduces.workerReduce, "n": 3}), {}, status=1, said=said)
    assert "Mine: workerReduce must add to what super().workerReduce returns, for the delay curves" in said.read_text()


@pytest.mark.parametrize("kind", SHIPPED)
def test_own_adjustdata_of_a_shipped_class(tmp_path, kind, caplog):
    """It is called for each event, and what the class does itself in it is done."""
    seen = []

    class Mine(kind):
        def adjustData(self, data):
            super().adjustData(data)
            seen.append(data.copy())

    user = {"saturated_value": 9.0, "notzero": 2.0}
    mine, theirs = (run_class(tmp_path, each, user=user, workers=1)[-1].user for each in (Mine, kind))
    assert len(seen) == 27 and min(data.min() for data in seen) == 2
    np.testing.assert_array_equal(mine.saturated, theirs.saturated)
    assert mine.saturated.any() and not mine.saturated.all()
    np.testing.assert_array_equal(mine.G2, theirs.G2)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
