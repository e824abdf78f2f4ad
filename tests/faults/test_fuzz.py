"""A few of the ten thousand inputs of ``make faults``, by the same code; and inputs that were once not as promised."""

import numpy as np
import pytest

from faults import fuzz, parsers
from parcorana.calculation.userclass import check_params
from parcorana.curves.fitchoice import choice_of
from parcorana.errors import ConfigError
from parcorana.events.hdf5.stack import natural
from parcorana.userg2 import G2atEnd

NUMBER = {"npy": 60, "dataset": 100, "times": 100, "config": 60, "psana_config": 60, "config_file": 40, "stack": 10}


@pytest.mark.parametrize("name", NUMBER)
def test_inputs(tmp_path, name):
    assert fuzz.campaign(name, NUMBER[name], 7, tmp_path)["inputs"] >= NUMBER[name] // 2


def test_result_files(setup):
    setup.write()
    assert setup.drive().returncode == 0
    assert fuzz.campaign("result", 3, 7, setup.folder)["inputs"] == 3


def test_checkpoints():
    # in a process of its own: a fork of one whose OpenMP has run threads waits for them
    run = fuzz.run_module("fuzz", "checkpoint", 5, 7)
    assert run.returncode == 0 and "inputs=5" in run.stdout, run.stderr


USER = [
    ("color", 0, "must be the name of a .npy file or None, not 0"),
    ("color", 1.0, "must be the name of a .npy file"),
    ("finecolor", np.ones(3), "must be the name of a .npy file"),
    ("saturated_value", 10**400, "must be a number or None, not 1000"),
    ("notzero", np.float32("inf"), "must be a number"),
    ("normalization", np.array(["pixel", "color"]), "must be one of"),
    ("save_arrays", np.zeros(2), "must be 'last', True or False"),
    ("plot_colors", np.array(5), "must be a list of colours"),
]


@pytest.mark.parametrize(("key", "value", "words"), USER)
def test_values_that_raised_something_else(key, value, words):
    def check():
        check_params(G2atEnd, {key: value}, print)
        G2atEnd.checkParams({key: value}, np.ones((2, 3), bool), print)

    with pytest.raises(ConfigError, match=words) as error:
        check()
    parsers.one_sentence(error.value, f"user_params[{key!r}]")


class Unspeakable:
    def __repr__(self):
        raise ZeroDivisionError


SYSTEM = [
    ("times", Unspeakable()),
    ("store_dtype", np.array([1, 2])),
    ("callback_limit", np.array([1, 2])),
    ("rate", 10**400),
    ("mask", "m" * 5000),
]


@pytest.mark.parametrize(("key", "value"), SYSTEM)
def test_keys_that_raised_something_else(tmp_path, key, value):
    mask = tmp_path / "mask.npy"
    np.save(mask, np.ones((2, 3), np.int8))
    parsers.dictionaries(str(mask), ({key: value}, {}))


def test_names_and_kinds_that_raised_something_else():
    assert sorted(["\u00b21.h5", "a10.h5", "a9.h5"], key=natural)[:2] == ["a9.h5", "a10.h5"]
    with pytest.raises(ConfigError, match="fit must be one of"):
        choice_of(np.array([1, 2]))
