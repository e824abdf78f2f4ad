"""What ranks compare before a run: objects that are the same have one digest, and who differs is named."""

import ctypes
import itertools
import os
import sys
import threading
import time
import types
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from parcorana import userg2
from parcorana.calculation import base
from parcorana.errors import ConfigError
from parcorana.job import alike, fingerprint
from parcorana.job.alike import Fact, differences, facts_of_config, facts_of_program, sentence
from parcorana.job.config import resolve_config
from parcorana.job.fingerprint import digest, file_digest, looked_up
from parcorana.pipeline.run import agreed_data

KEYS = st.one_of(st.integers(), st.text(), st.booleans(), st.none(), st.floats())
VALUES = st.recursive(
    KEYS | st.binary() | st.complex_numbers() | arrays(np.float32, 3) | st.sets(st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def again(value):
    """Return an equal object that is another one, with dictionaries made in another order."""
    if isinstance(value, dict):
        return {again(key): again(item) for key, item in reversed(value.items())}
    if isinstance(value, set):
        return set(value)
    if isinstance(value, list | tuple):
        return type(value)(map(again, value))
    if isinstance(value, np.ndarray):
        return np.asfortranarray(value.copy())
    return float(repr(value)) if type(value) is float else value


@settings(max_examples=30)
@given(VALUES)
def test_what_is_the_same_has_one_digest(value):
    assert digest(value) == digest(again(value))
    assert digest([value]) != digest([value, value]) != digest((value, value))


def code(text):
    names = {"__name__": "mine_of_nobody"}
    exec(text, names)
    return names["made"]


@dataclass
class Own:
    value: object


class Breaks:
    def __reduce_ex__(self, protocol):
        raise SystemError("mine")


DIFFERENT = [
    *(None, 0, 0.0, -0.0, False, "", b"", [], (), {}, set(), "a", 1, True, "1", 1j, float("nan"), float("inf")),
    *(np.arange(3), np.arange(3.0), np.arange(4), np.arange(3).reshape(3, 1), np.float32(1), np.array(["a"], object)),
    *(np.array([(1, 2.0)], "i4,f8"), np.ma.masked_array([1, 2], [0, 1]), np.ma.masked_array([1, 2], [1, 0])),
    *(np.array(["2026-01-01"], "M8[D]"), np.longdouble(1), np.array([1, np.nan]), np.dtype("f4"), range(3), slice(3)),
    *(code("made = lambda x: x + 1"), code("made = lambda x: x + 2"), code("made = lambda x, y=1: x + 1")),
    code("def f(x): return 1\ndef made(x): return f(x)"),
    code("def f(x): return 2\ndef made(x): return f(x)"),
    code("class made:\n    def a(self): return 1"),
    code("class made:\n    def a(self): return 2"),
    code("class made:\n    a = 1"),
    code("def f(n):\n    return lambda: n\nmade = f(1)"),
    code("def f(n):\n    return lambda: n\nmade = f(2)"),
    *(Own(1), Own(2), partial(max, 1), partial(max, 2), partial(min, 1), userg2.G2atEnd, base.BlockBase, max, min, os),
    *(threading.Lock(), sys.stdout, Breaks(), iter(()), {1: 2}, {1: 3}, {2: 2}, {"a": {1, 2}}, {"a": {1, 3}}),
]


def test_what_differs_has_another_digest():
    digests = [digest(value) for value in DIFFERENT]
    for one, two in itertools.combinations(range(len(digests)), 2):
        assert digests[one] != digests[two], (DIFFERENT[one], DIFFERENT[two])
    assert digest(threading.Lock()) == digest(threading.Lock())  # it tells nothing of what is in it


class Compiled:
    """As Numba's: each process has its own number of it."""

    def __init__(self, py_func):
        self.py_func, self.number = py_func, object.__repr__(self)


def test_what_each_process_has_of_its_own_is_no_difference(monkeypatch):
    one, other = ctypes.CDLL(None), ctypes.CDLL(None)
    other._handle = one._handle + 1
    assert digest(one) == digest(other)
    assert digest(threading.Thread()) == digest(threading.Thread())  # a library's object that holds a lock
    made = [Compiled(code(f"made = lambda x: x + {n}")) for n in (1, 1, 2)]
    assert digest(made[0]) == digest(made[1]) != digest(made[2])
    before = digest(os.environ), digest(os.environ.get)
    monkeypatch.setenv("RANK_OF_MINE", "3")
    assert before == (digest(os.environ), digest(os.environ.get))


def test_large_arrays_are_looked_at_whole():
    large = np.zeros(fingerprint._PIECE + 2, np.float32)
    made = []
    for at in (0, fingerprint._PIECE - 1, fingerprint._PIECE, -1):
        large[at] += 1
        made.append(digest(large))
    assert len(set(made)) == 4 and made[-1] == digest(np.repeat(large, 2)[::2])


def test_comments_and_places_are_no_difference():
    text = "def made(x):\n    return x + 1"
    assert digest(code(text)) == digest(code(f"# a comment\n\n{text}  # and another one"))


def test_objects_that_hold_themselves():
    one, two = [], {}
    one.append(one)
    two["two"] = [two]
    deep = []
    for _ in range(3000):
        deep = [deep]
    assert len({digest(one), digest(two), digest(deep)}) == 3
    assert digest(float("nan")) == digest(np.frombuffer(b"\1\0\0\0\0\0\xf8\x7f")[0].item())


def facts(user_class=userg2.G2atEnd, **user):
    np.save("mask.npy", np.ones((2, 3), "int8"))
    system = {"dataset": "sim=brownian:shape=2x3", "mask": "mask.npy", "times": 5, "delays": [1]}
    system |= {"user_class": user_class, "h5output": f"{time.time_ns()}.h5"}
    return facts_of_config(resolve_config(system, user), "config.py")


class Turned(set):
    """A set as another process may have it, in which its elements lie elsewhere."""

    def __iter__(self):
        return iter(sorted(super().__iter__(), key=lambda each: each.__qualname__, reverse=self.turned))


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


class Egg:
    def laid_by(self):
        return Hen()


class Hen:
    def lays(self):
        return Egg()


@pytest.mark.parametrize("some", [{even, odd}, {Egg, Hen}])
def test_a_set_of_what_knows_each_other_has_one_digest(some):
    found = set()
    for turned in (False, True):
        some = Turned(some)
        some.turned = turned
        found.add(fingerprint._Walk()._look(some))
    assert len(found) == 1


def test_files_count_by_what_is_in_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, number in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / f"{name}.txt").write_text(f"{number}", encoding="utf-8")
    same = [facts(dark={"of": [name]}) for name in ("a.txt", "b.txt", "a.txt")]
    assert differences(same, ["here"] * 3) == ([], [])
    same.append(facts(dark={"of": ["c.txt"]}))
    (error,), warnings = differences(same, ["here"] * 3 + ["there"])
    assert error.startswith("user_params['dark'] differs: rank 3 (there) has {'of': ") and not warnings
    monkeypatch.setattr(fingerprint, "_LARGE", 8)
    data = b"0123456789ab"
    made = []
    for content in (data, b"x" + data[1:], data[:-1] + b"x", data + b"x", data[:5] + b"x" + data[6:]):
        (tmp_path / "large").write_bytes(content)
        made.append(file_digest(tmp_path / "large"))
    assert len(set(made)) == 4 and made[0] == made[4]


def test_a_host_may_have_built_its_own_modules_or_not_built_them_again(tmp_path, monkeypatch):
    monkeypatch.setattr(alike, "__file__", str(tmp_path / "job/alike.py"))
    (tmp_path / "job").mkdir()
    source, compiled = tmp_path / "job/alike.py", tmp_path / "_core.cpython-311-x86_64-linux-gnu.so"
    facts = []
    for one, other in (("a", "a"), ("a", "b"), ("b", "a"), ("a", "a")):
        source.write_text(one, encoding="utf-8")
        compiled.write_text(other, encoding="utf-8")
        facts.append(facts_of_program({}, "MPI"))
    errors, warnings = differences(facts, list("xyzx"))
    assert errors == ["the source of parcorana differs: rank 2 (z) has another one"]
    assert warnings == ["a compiled module of parcorana differs: rank 1 (y) has another one"]


LOOKS_UP = """
import os, settings_of_mine
GAIN, UNUSED, AT = 2.5, 1, ["offset"]

def scaled(data):
    return data * GAIN + float(os.environ.get("PEDESTAL_OF_MINE") or 0)

def wrapped(function):
    return lambda *args: function(*args)

class Base:
    @staticmethod
    def moved(data):
        return scaled(data) + settings_of_mine.offset

class made(Base):
    @wrapped
    def adjustData(self, data):
        return [self.moved(data) for _ in AT]
"""


def test_what_user_code_looks_up_when_it_runs(monkeypatch):
    settings = types.ModuleType("settings_of_mine")
    settings.offset, settings.unused, settings.__file__ = 7, 8, "/home/mine/settings_of_mine.py"
    monkeypatch.setitem(sys.modules, "settings_of_mine", settings)
    monkeypatch.delenv("PEDESTAL_OF_MINE", raising=False)
    own = code(LOOKS_UP)
    expected = {"GAIN": 2.5, "AT": ["offset"], "settings_of_mine.offset": 7, "$PEDESTAL_OF_MINE": None}
    assert looked_up([own, userg2.G2atEnd]) == expected
    monkeypatch.setenv("PEDESTAL_OF_MINE", "3")
    assert looked_up([own]) == expected | {"$PEDESTAL_OF_MINE": "3"}


class Scaled(userg2.G2atEnd):
    def adjustData(self, data):
        data *= SCALE


SCALE = 1.0


def test_ranks_whose_code_looks_up_another_value_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = []
    for value in (1.0, 1.0, 2.0):
        monkeypatch.setattr(sys.modules[__name__], "SCALE", value)
        made.append(facts(user_class=Scaled))
    said = ["SCALE in the code of Scaled differs: rank 2 (there) has 2.0, the others have 1.0"]
    assert differences(made, ["here", "here", "there"]) == ([], said)


def test_servers_that_find_other_data():
    one, two = {"events": 1000, "first_event": "a"}, {"events": 999, "first_event": "b"}
    assert agreed_data([None, one, dict(one), None], ["here"] * 4, "h5=f") == one
    assert agreed_data([None, None], ["here"] * 2, "h5=f:live") == {}
    with pytest.raises(ConfigError) as caught:
        agreed_data([None, one, one | two, None], ["here", "here", "there", "there"], "h5=f")
    said = "rank 1 (here) and rank 2 (there) have 1,000, 999 events, and not the same first one; does a host have"
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("ranks", "said"),
    [
        ("aaba", ["x differs: rank 2 (two) has b, the others have a"]),
        ("ab", ["x differs: rank 1 (two) has b, rank 0 (one) has a"]),
        ("a-aa", ["x differs: rank 1 (two) has nothing, the others have a"]),
        ("abcaa", ["x differs: rank 2 (two) has c, rank 1 (two) has b, the others have a"]),
        ("aaaa", []),
    ],
)
def test_who_differs_is_named(ranks, said):
    hosts = ["one", *["two"] * (len(ranks) - 1)]
    for needed, fatal in itertools.product((True, False), repeat=2):
        given = [{} if each == "-" else {"x": Fact(each.encode(), each, needed, fatal)} for each in ranks]
        found = differences(given, hosts)
        assert found[not fatal] == ([] if "-" in ranks and not needed else said) and not found[fatal]
    untold = [{} if each == "-" else {"x": Fact(each.encode())} for each in ranks]
    assert all("has a" not in phrase or "has another one" in phrase for phrase in differences(untold, hosts)[0])


def test_a_line_names_a_few():
    assert sentence([f"{k} differs" for k in range(7)]).endswith("4 differs; and 2 more")
