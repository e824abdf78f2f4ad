"""A few of the faults of ``make faults``, by the same code."""

import shutil

import pytest

from faults import launchers, table
from faults.frame import Session, run_trial

QUICK = {
    f"{name}: {row.fault}": (name, row) for name, module in table.groups().items() for row in module.ROWS if row.quick
}


@pytest.fixture(scope="module")
def session():
    made = Session(timed=False)
    yield made
    shutil.rmtree(made.folder)


@pytest.mark.parametrize("name", QUICK)
def test_fault(session, name):
    group, row = QUICK[name]
    launcher = launchers.find()
    if launcher.name not in row.mpi or row.skip():
        pytest.skip(row.skip() or f"not with {launcher}")
    for number in range(row.quick):
        record = run_trial(session, launcher, group, row, number)
        assert not record.problems, "\n".join(record.problems)
        assert record.kept == record.provoked > 0 and not record.left and not record.lost
