"""Parameters that have no end, or no text, are refused in one sentence before anything looks into them."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana import ConfigError, userg2
from parcorana.job.alike import facts_of_config
from parcorana.job.config import format_params, resolve_config
from parcorana.job.tellable import check_tellable
from parcorana.results.facts import as_json


class Mute:
    def __repr__(self):
        raise ZeroDivisionError("by me")


@pytest.fixture
def system(tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((2, 2), np.int8))
    made = {"dataset": "sim=brownian:shape=2x2", "mask": str(tmp_path / "mask.npy"), "times": 2, "delays": [1]}
    return made | {"user_class": userg2.G2atEnd, "h5output": None, "update": 0}


def within_itself(made, add):
    add(made, made)
    return made


def wrapped(value, levels, wrap=lambda value: [value]):
    for _ in range(levels):
        value = wrap(value)
    return value


OBJECTS = np.array([None, 1], object)
WRONG = {
    "a list": (within_itself([], list.append), "holds itself, in a list: a parameter must have an end"),
    "a dictionary": (within_itself({}, lambda d, e: d.update(a=[e])), "holds itself, in a dict"),
    "an array of objects": (within_itself(OBJECTS, lambda a, e: a.__setitem__(0, e)), "holds itself, in a ndarray"),
    "deep": (wrapped(1, 3000), "is nested more than 50 levels deep"),
    "deep dictionaries": (wrapped(1, 51, lambda value: {"a": value}), "is nested more than 50 levels deep"),
    "deep in parts": ([wrapped(1, 30), wrapped(wrapped(1, 30), 30)], "is nested more than 50 levels deep"),
    "wide": (wrapped(1, 40, lambda value: (value, value)), "holds more than 10,000,000 values"),
    "mute": ({"a": {Mute()}}, "holds an object of Mute that cannot be shown: its text raises ZeroDivisionError: by me"),
    "a mute key": ({Mute(): 1}, "holds an object of Mute that cannot be shown"),
    "thousands of digits": ([10**5000], "holds an object of int that cannot be shown: its text raises ValueError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_without_end_or_text(system, name):
    value, words = WRONG[name]
    with pytest.raises(ConfigError, match=re.escape(f"user_params['mine'] {words}")):
        resolve_config(system, {"mine": value})
    with pytest.raises(ConfigError, match=r"^delays "):
        resolve_config(system | {"delays": value}, {})
    with pytest.raises(ConfigError, match="a key of user_params holds an object of Mute"):
        resolve_config(system, {Mute(): 1})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(np.arange(3)),
    lambda part: st.lists(part) | st.tuples(part, part) | st.dictionaries(st.text() | st.integers(), part),
)


@settings(max_examples=30, deadline=None)
@given(value=VALUES)
def test_all_else_passes(value):
    check_tellable({"mine": [value, value]}, str)
    as_json({"mine": [value, value]})


def test_the_deepest_that_passes_can_be_compared_shown_and_kept(system):
    shared = wrapped(OBJECTS[1:], 20)
    config = resolve_config(system, {"mine": wrapped([shared, shared], 28)})
    facts_of_config(config, "config.py")
    assert "1" in as_json(config.user_params) and "mine" in format_params(config)
