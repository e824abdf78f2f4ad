"""Jobs over two and three hosts: who does what where, the same result as on one, errors that name the host."""

import os
import subprocess

import h5py
import numpy as np
import pytest
from conftest import BIN, Setup
from effort import PATIENCE
from hosts import Hosts, missing

from parcorana.tools.compare import compare

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with Hosts(3, tmp_path_factory.mktemp("hosts")) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    return Setup(tmp_path_factory.mktemp("run"))


def drive(hosts, setup, ranks, *args):
    """Run the driver with so many ranks on each host."""
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONWARNINGS": "error"} | hosts.environment(*ranks)
    command = [*hosts.start(), "mpiexec", "-n", sum(ranks), "parCorAnaDriver", "-c", "config.py", *args]
    command = ["timeout", "-k", "5", str(PATIENCE), *map(str, command)]
    return subprocess.run(command, cwd=setup.folder, env=env, capture_output=True, text=True, check=False)


def test_the_same_result_as_on_one_host(three, setup):
    ranks, servers = (2, 3, 2), 3
    setup.write()
    assert setup.drive("-o", "alone.h5").returncode == 0
    before = three.received("h2")
    hosts = [host for host, n in zip(three.names, ranks, strict=True) for _ in range(n)]
    run = drive(three, setup, ranks, "-s", servers, "-o", "hosts.h5", "--overwrite")
    assert run.returncode == 0, run.stderr
    assert three.received("h2") - before > setup.included.nbytes / 2  # it did go over the network
    with h5py.File(setup.folder / "alone.h5") as one, h5py.File(setup.folder / "hosts.h5") as many:
        table = [(int(rank), role.decode(), host.decode()) for rank, role, host in many["system/ranks"][()]]
        assert [(rank, host) for rank, _, host in table] == list(enumerate(hosts))
        # no host has a second server as long as another one has none
        assert sorted(host for _, role, host in table if role == "server") == three.names[:servers]
        assert table[0][1] == "viewer"
        for name in one["user"]:
            for array in ("G2", "IP", "IF"):
                for delay in one[f"user/{name}/{array}"]:
                    path = f"user/{name}/{array}/{delay}"
                    assert one[path][()].tobytes() == many[path][()].tobytes()
    lines = compare(setup.folder / "alone.h5", setup.folder / "hosts.h5", rtol=1e-12)
    assert [line for line in lines if "_err_" not in line] == []


def test_where_servers_go_and_how_many_threads(three, setup):
    setup.write(serverhosts=["h3", "h2"])
    run = drive(three, setup, (2, 2, 3), "-s", 3, "--check")
    assert run.returncode == 0, run.stderr
    table = [line.split()[:3] for line in run.stdout.splitlines() if line[:4].strip().isdigit()]
    assert [host for _, role, host in table if role == "server"] == ["h2", "h3", "h3"]
    assert [host for _, role, host in table if role == "worker"] == ["h1", "h2", "h3"]
    cores = len(os.sched_getaffinity(0))
    assert f"3 workers with {cores} threads" in run.stdout


@pytest.mark.parametrize(
    ("system", "words"),
    [
        ({"serverhosts": ["h9"]}, "serverhosts: no free rank on 'h9'; hosts with free ranks: h1, h2, h3"),
        ({"times": 2 * 10**9}, "memory: the ranks on h2 need "),
    ],
)
def test_errors_name_the_host(three, setup, system, words):
    """The second: all the workers are on h2; the two others hold next to nothing."""
    setup.write(**({"serverhosts": ["h1", "h3"], "numservers": 2} | system))
    run = drive(three, setup, (2, 2, 1))
    assert run.returncode == 2, run.stderr
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("parCorAnaDriver: ")]
    assert words in line


def test_too_few_ranks_on_the_hosts_for_servers():
    from parcorana.errors import ConfigError
    from parcorana.job.partition import assign_roles

    with pytest.raises(ConfigError, match="serverhosts: h1 have too few ranks for numservers=2"):
        assign_roles(["h1", "h1", "h2", "h2"], 2, ["h1"])


@pytest.mark.parametrize(
    ("cores", "threads"),
    [
        ([range(8)] * 5, [8, 8, 8, 4, 4]),  # nobody is bound; h2 has two workers
        ([range(8), range(8), range(8), range(2), range(2, 4)], [8, 8, 8, 2, 2]),  # a batch system gave two each
        ([[0], [1], [0], [1], [2]], [1, 1, 1, 1, 1]),  # mpiexec bound each to one core
    ],
)
def test_threads_by_the_cores_of_the_host(cores, threads):
    from parcorana.job.division import threads_of_ranks

    found = threads_of_ranks(["h1", "h1", "h1", "h2", "h2"], [frozenset(c) for c in cores], workers=(2, 3, 4))
    assert found == threads
    assert np.all(np.array(found) >= 1)
