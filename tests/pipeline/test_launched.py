"""How many processes a launcher says that it has started."""

import pytest

from parcorana.pipeline import mpi

VARIABLES = (
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK",
    "PMI_SIZE",
    "PMIX_RANK",
    "SLURM_STEP_NUM_TASKS",
)


@pytest.mark.parametrize(
    ("environment", "size"),
    [
        ({}, 1),
        ({"SLURM_STEP_NUM_TASKS": "4"}, 1),  # a shell in an allocation
        ({"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "1"}, 1),  # one task: the shell of srun --pty
        ({"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "3"}, 3),
        ({"PMIX_RANK": "0"}, 2),  # more than one, or MPI says how many
        ({"PMI_RANK": "1", "PMI_SIZE": "4", "SLURM_STEP_NUM_TASKS": "1"}, 4),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1", "PMIX_RANK": "0"}, 1),
    ],
)
def test_processes_of_launchers(monkeypatch, environment, size):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert mpi.launched_size() == size
