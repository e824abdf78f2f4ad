"""Hostile input is refused by name: faults/hostile.py says what, and with which words."""

import pytest

from faults import hostile


@pytest.mark.parametrize("name", hostile.CASES)
def test_hostile(setup, capsys, name):
    status, seconds = hostile.timed(name, setup)
    wrong = hostile.check(name, status, capsys.readouterr().err, seconds, setup.folder)
    assert wrong is None, wrong
