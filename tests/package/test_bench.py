"""The benchmarks run: some of the small ones, once each, without a look at the time."""

import sys

SMALL = (
    "(test_accumulate or test_windowed or test_at_end) and 1000 or test_gather or test_find_runs or h5-1 "
    "or test_multitau and 64"
)


def test_small_benchmarks(command, root):
    """Names and interfaces that they use are still there."""
    options = ("-o", "python_files=bench_*.py", "-o", "addopts=", "--benchmark-disable", "-p", "no:cacheprovider", "-q")
    run = command(sys.executable, "-m", "pytest", "bench", *options, "-k", SMALL, cwd=root)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout and "skipped" not in run.stdout
