"""Hostile input is refused by name: faults/hostile.py says what, and with which words."""

import pytest

from faults import hostile
from parcorana.files import trial


@pytest.fixture(autouse=True)
def soon_given_up(monkeypatch):
    """A loop in HDF5's library needs no five seconds of the processor to be one."""
    monkeypatch.setattr(trial, "SECONDS", 1)


@pytest.mark.parametrize("name", hostile.CASES)
def test_hostile(setup, capsys, name):
    status, seconds = hostile.timed(name, setup)
    wrong = hostile.check(name, status, capsys.readouterr().err, seconds, setup.folder)
    assert wrong is None, wrong
