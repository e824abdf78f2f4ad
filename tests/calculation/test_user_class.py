"""What a class defines is called, or refused in a sentence: every callback, in every kind of class."""

import os
import re
from contextlib import redirect_stderr
from functools import cached_property

import numpy as np
import pytest
from conftest import status_of
from local import run_local

from parcorana import BlockBase, Common, ConfigError, PerElement, RunError, UserBase
from parcorana.calculation.guard import defines
from parcorana.calculation.says import reduced_bytes
from parcorana.calculation.userclass import CALLBACKS, METHODS
from parcorana.job import memory
from parcorana.job.partition import Roles
from parcorana.tools import driver
from parcorana.tools.compare import compare
from parcorana.userg2 import G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed

SHAPE, TIMES, DELAYS = (2, 3, 4), 9, [1, 2]
SHIPPED = [G2atEnd, G2IncrementalAccumulator, G2IncrementalWindowed]


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


class Blocks(BlockBase):
    """A class on blocks, with what is needed."""

    def arrays(self, elements):
        self.sum = np.zeros((2, elements))
        return {"sum": PerElement(self.sum)}

    def publish(self, update, group):
        pass


KINDS = [Own, Derived, Reduces, *SHIPPED, Blocks]


def run_class(tmp_path, user_class, **more):
    """Run a class on two runs of events, in one process, checkpoints and all; return the roles."""
    counters = np.concatenate([np.arange(15), np.arange(12)])
    frames = np.random.default_rng(0).poisson(5, (len(counters), *SHAPE)).astype(np.float32)
    system = {"times": TIMES, "update": 10, "delays": DELAYS, "block": 5} | more.pop("system", {})
    more = {"runs": [0] * 15 + [1] * 12, "user": {}, "workers": 2} | more
    return run_local(tmp_path, user_class, counters, frames, **more, **system)


def noting(name, base, called):
    """Return a callback that notes that it is called, and does what it replaces, or as little as it may."""
    inherited = getattr(base, name, None) if defines(base, name) else None

    def call(self, *args):
        called.append(name)
        if inherited is not None:
            return inherited(self, *args)
        defaults = {"eventOk": lambda evt: True, "finalDataArray": lambda array, evt: array}
        defaults |= {"workerReduce": lambda *args: {"x": 1}, "getState": dict}
        defaults |= {
            "collect": lambda last, buffer: {},
            "state": lambda arrays: {},
            "extra_bytes": lambda n, threads: 5,
            "collected_bytes": lambda n: 5,
        }
        defaults |= {"share": lambda: {}, "viewer_state": lambda: {"x": np.ones(2)}}
        defaults |= {"named": lambda name: ("Mine.x", name)}
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
    (Reduces, "viewerPublish"): "for viewerPublishArray is called instead",
}
# For a class on blocks: what to override instead.
INSTEAD = {
    "arrayNames": "arrays or collect",
    "initWorker": "arrays",
    "adjustData": "adjust",
    "adjustTerms": "enter",
    "adjustTermsBlock": "enter",
    "bufferClears": "end_run",
    "workerCalc": "collect",
    "workerReduce": "collect",
    "viewerPublish": "publish",
    "viewerPublishReduced": "publish",
    "viewerPublishArray": "publish_piece",
    "reducedBytes": "extra_bytes",
    "getState": "arrays or state",
    "setState": "arrays or restore",
}
SHARED = {"initWorker", "adjustData", "workerCalc", "workerReduce", "viewerPublishReduced", "viewerPublishArray"}
SHARED |= {"reducedBytes"}  # the shipped classes call these themselves
REFUSED |= {
    (kind, name): f"is never called, for {'BlockBase' if kind is Blocks else kind.__name__} takes whole blocks of "
    f"events: override {instead}, or make the class from parcorana.UserBase"
    for kind in (*SHIPPED, Blocks)
    for name, instead in INSTEAD.items()
    if kind is Blocks or name not in SHARED
}
# Called by another part of the program than a run: of a class that has nothing else to call, by these tests below.
ELSEWHERE = {
    "getState",
    "setState",
    "state",
    "restore",
    "calcAndPublishForTestAlt",
    "reducedBytes",
    "extra_bytes",
    "collected_bytes",
    "viewer_state",
    "restore_viewer",
}
SHARING = ("share", "take_shared", "viewer_state", "restore_viewer")


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


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", [Blocks, *SHIPPED])
def test_methods_of_blocks_are_called(tmp_path, kind, name):
    called = []
    body = {name: noting(name, kind, called)}
    user = {"frame_norm": "mean"} if kind is not Blocks and name in SHARING else {}
    if kind is Blocks and name in SHARING:
        body = {each: noting(each, kind, called) for each in SHARING} | {"shares": 4}
    if name == "named":  # for an error
        body["collect"] = lambda self, last, buffer: {"x": Common(self.mpiParams.part.start)}
        with pytest.raises(RunError, match="workers disagree on"):
            run_class(tmp_path, type("Mine", (kind,), body))
    else:
        Mine = type(
            "Mine", (kind,), body | ({"takes_pieces": True} if (kind, name) == (Blocks, "publish_piece") else {})
        )
        elsewhere(tmp_path, Mine, name, user) if name in ELSEWHERE else run_class(tmp_path, Mine, user=user)
    assert name in called


def elsewhere(tmp_path, user_class, name, user=None):
    """Do the part of the program that calls it: the memory formula, ``--test_alt``, a checkpoint and its resuming."""
    if name == "reducedBytes":
        reduced_bytes(run_class(tmp_path, user_class)[0].config)
    elif name in ("extra_bytes", "collected_bytes"):
        config = run_class(tmp_path, user_class)[0].config
        memory.bytes_of_ranks(config, Roles((1,), (2,)), [1] * 3, memory.sample_of(config))
    elif name == "calcAndPublishForTestAlt":
        run_driver(tmp_path, user_class, {}, "--test_alt")
    else:
        rest = {"getState": lambda self: {}, "setState": lambda self, state: None}
        wanted = () if issubclass(user_class, BlockBase) else rest
        body = {other: rest[other] for other in wanted if not defines(user_class, other)}
        interrupt(tmp_path, type("Whole", (user_class,), body), user or {})


def interrupt(tmp_path, user_class, user):
    """Run a class until it fails at 40 events, and go on."""
    publish = "viewerPublishReduced" if defines(user_class, "workerReduce") else "viewerPublish"
    publish = "publish" if issubclass(user_class, BlockBase) else publish

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
    """The names of the methods of classes on blocks, and of the shipped ones, are free for everybody else."""
    taken = {name for shipped in SHIPPED for cls in shipped.__mro__[:-1] for name in vars(cls)}
    taken = {name for name in taken if not name.startswith("__") and name not in vars(UserBase)}

    def call(self, *args):
        raise AssertionError("called for its name")

    assert taken >= {*METHODS, "buffer", "stores", "forgets", "pairs"} - set(vars(UserBase))
    Mine = type("Mine", (kind,), dict.fromkeys(taken, call))
    assert run_class(tmp_path, Mine, system={"times": 2})[0].finished["processed"] == 27


@pytest.mark.parametrize("kind", SHIPPED)
@pytest.mark.parametrize("name", ["_reset", "TURNOVERS", "write_results", "takes", "buffer", "stores", "forgets"])
@pytest.mark.parametrize("where", ["itself", "mixin before", "mixin after"])
def test_a_name_of_the_shipped_class_is_refused(tmp_path, kind, name, where):
    """But not those that it does not have."""
    body = {name: {"buffer": "C", "stores": True, "forgets": True}.get(name, lambda self, *args: None)}
    if where == "itself":
        Mine = type("Mine", (kind,), body)
    else:
        mixin = type("Mixin", (), body)
        Mine = type("Mine", (mixin, kind) if where == "mixin before" else (kind, mixin), {})
    if not hasattr(kind, name):
        run_class(tmp_path, Mine)
        return
    words = f"'{name}' is a name that {kind.__name__} uses itself"
    if where == "mixin after" and name in ("buffer", "stores", "forgets"):
        words = f"{name} of Mixin is hidden by that of "
    with pytest.raises(ConfigError, match=f"^user_class Mine: {words}"):
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
        assert getattr(roles[-1].calculation, name) == roles[-1].calculation.seen == 27
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

        def arrays(self, elements):
            kept, self.mine = super().arrays(elements), np.full(1, 7)
            return kept | {f"mine {name}": Common(self.mine) for name in names}

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
OTHERS = {"a list", "an order"}  # which mean nothing to a class on blocks, or are refused with other words
WRONG_BLOCKS = {
    "a property": ("enter", property(lambda self: lambda block: None), MUST),
    "a generator": ("enter", lambda self, block: (yield), "nothing in enter would run, for it has a 'yield'"),
    "a value": ("publish", 5, f"{MUST} 5"),
    "a plain checkParams": ("checkParams", lambda self, *args: None, "put @classmethod above it"),
    "an order": ("buffer", "fortran", "buffer must be 'C', 'F' or None, not 'fortran'"),
    "a word": ("last_has_more", "no", "last_has_more must be True or False, not 'no'"),
    "a method for a word": ("takes_pieces", lambda self: True, "takes_pieces must be True or False, not <function"),
    "pieces for nobody": ("takes_pieces", True, "takes_pieces is True, but it lacks the method 'publish_piece'"),
    "nobody's pieces": (
        "publish_piece",
        lambda self, *args: None,
        "publish_piece is never called, for takes_pieces is False",
    ),
    "nothing to store in": ("stores", True, "stores is True, but it has no buffer: set buffer to 'C' or 'F'"),
    "half an event": ("most", 0.5, "most must be a whole number of events, 0 for any, not 0.5"),
    "fewer than none": ("most", -1, "most must be a whole number of events, 0 for any, not -1"),
    "shares a half": ("shares", 0.5, "shares must be a whole number of events, 0 for never, not 0.5"),
    "shares nothing": ("shares", 5, "shares is 5, but it lacks the method 'share'"),
    "shares never": ("share", lambda self: {}, "share is never called, for shares is 0"),
    "pairs of what": ("pairs", 1, "pairs must be the name of an array or None, not 1"),
    "mends nothing": ("mends_nonfinite", True, "it has no adjust of its own that would mend"),
    "one name": ("takes_params", "width", "must be a tuple of names of user_params, not 'width'"),
}


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        *((Reduces, case) for case in WRONG),
        *((G2atEnd, case) for case in WRONG if case not in OTHERS),
        *((Blocks, case) for case in WRONG_BLOCKS),
    ],
)
def test_what_cannot_be_called_is_refused(tmp_path, kind, case):
    name, value, words = (WRONG_BLOCKS if kind is Blocks else WRONG)[case]
    with pytest.raises(ConfigError, match=f"^user_class Mine: .*{words}"):
        run_class(tmp_path, type("Mine", (kind,), {name: value}))


@pytest.mark.parametrize("how", ["__init__", "arrays", "initServer", "initViewer"])
def test_what_an_instance_on_blocks_needs(tmp_path, how):
    """It may say so by itself, in `__init__`, before it is asked; and rightly."""

    def body(**needs):
        def begin(self, *args):
            made = getattr(Blocks, how)(self, *args)
            vars(self).update(needs)
            return made

        return {how: begin}

    if how == "__init__":
        roles = run_class(tmp_path, type("Mine", (Blocks,), body(buffer="F")))
        assert roles[-1].entering.buffer.X.flags.f_contiguous and roles[-1].entering.buffer.X.any()
        words, needs = "buffer must be 'C', 'F' or None, not 'G'", {"buffer": "G"}
    else:
        words, needs = (
            rf"{how} sets self\.buffer, which is asked for before: set it in the class or in",
            {"buffer": "F"},
        )
    with pytest.raises(ConfigError, match=f"^user_class Mine: {words}"):
        run_class(tmp_path, type("Mine", (Blocks,), body(**needs)))


def test_arrays_are_changed_in_place(tmp_path):
    """What the program holds would else stay as it was: sums of nothing, published without a word."""

    class Mine(Blocks):
        def enter(self, block):
            self.sum = self.sum + block.data.sum(axis=0)

    with pytest.raises(
        RunError, match=r"^Mine: self\.sum is no longer the array that arrays returned.*change it in pl"
    ):
        run_class(tmp_path, Mine)
    with open(tmp_path / "said", "w+", encoding="utf-8") as said:
        run_driver(tmp_path, Mine, {}, status=1, update=0, checkpoint=20, said=said.name)
        assert "the checkpoint at 20 events: Mine: self.sum is no longer the array" in said.read()


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

    when = "arrays" if (kind, when) == (Blocks, "initWorker") else when

    def begin(self, *args):
        made = getattr(kind, when)(self, *args) if hasattr(kind, when) else None
        setattr(self, name, None if len(name) % 2 else lambda *args: None)
        return made

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
    if name == "storage_order" and issubclass(kind, BlockBase):
        for bases in ((mixin, kind), (kind, mixin)):
            with pytest.raises(ConfigError, match=r"^user_class Mine: storage_order is never read, .*: see buffer$"):
                run_class(tmp_path, type("Mine", bases, {}))
        return
    if name != "__init__":
        roles = run_class(tmp_path, type("Mine", (mixin, kind), {}))
        assert called or roles[-1].entering.buffer.X.flags.f_contiguous
    mine = type("Mine", (kind, mixin), {})
    if kind in (Derived, Reduces) and name == "__init__":
        run_class(tmp_path, mine)  # that of a user's own class comes first, as it should in Python
        return
    base = "(UserBase|BlockBase|G2Base)"
    hidden = f"^user_class Mine: {name} of Mixin is hidden by that of {base}: name Mixin first among the base"
    with pytest.raises(ConfigError, match=hidden):
        run_class(tmp_path, mine)


@pytest.mark.parametrize("kind", SHIPPED)
def test_what_replaces_a_part_of_a_shipped_class_without_calling_it_is_said(tmp_path, kind, caplog):
    class Mine(kind):
        def adjustData(self, data):
            data *= 1

        def end_run(self, buffer):
            pass

        def state(self, arrays):
            return {}

        def enter(self, block):
            block.store()

    run_class(tmp_path, Mine, user={"saturated_value": 3.0}, runs=None)
    said = [record.message for record in caplog.records if "does not call" in record.message]
    does = "Mine.adjustData does not call super().adjustData(data): user_params['saturated_value'] does nothing"
    kept = ["enter"] + ["state"] * (kind is not G2IncrementalAccumulator) + ["end_run"]
    for name in kept:
        (line,) = (line for line in said if f"{name} does not call super().{name}" in line)
        assert line.endswith(f"so {kind.__name__} does not do its part of it")
    assert said.count(does) == 1 and len(said) == 1 + len(kept)


@pytest.mark.parametrize("kind", SHIPPED)
def test_what_the_curves_need_is_said(tmp_path, kind):
    class Other(kind):
        workerCalc = Own.workerCalc

        def initWorker(self, numElementsWorker):
            super().initWorker(numElementsWorker)
            self.n = numElementsWorker

    with pytest.raises(
        RunError, match=r"^Other\.workerCalc: the arrays must be a dict with the names \['G2', 'IF', 'IP'"
    ):
        run_class(tmp_path, Other)
    Less = type("Less", (kind,), {"workerReduce": lambda self, arrays, *args: kind.workerReduce(self, {}, *args)})
    with pytest.raises(RunError, match=r"^Less: delay curves need the arrays G2, IP, IF, and workerReduce gets no G2"):
        run_class(tmp_path, Less)
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
    mine, theirs = (run_class(tmp_path, each, user=user, workers=1)[-1].calculation for each in (Mine, kind))
    assert len(seen) == 27 and min(data.min() for data in seen) == 2
    np.testing.assert_array_equal(mine.saturated, theirs.saturated)
    assert mine.saturated.any() and not mine.saturated.all()
    np.testing.assert_array_equal(mine.G2, theirs.G2)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
