"""Faults, provoked for real: each is one row of a table that ``make faults`` makes.

A module of this package is a group of rows: it has `TITLE`, a line for the
table, and `ROWS`, a list of `Row`. That is all there is to adding one; modules
are found by being here, and named on the command line by their names. A row's
function is called as often as the row says, each time with a `Trial`: a folder
of its own, a launcher, random numbers. It writes a config, starts a real job
under mpiexec, provokes the fault, waits for the end and says what should have
become of it::

    def kill_a_worker(trial):
        trial.write(body=SLOW)               # config.py with the user class Mine, of mine.py
        job = trial.start(ranks=4)           # within a limit of time; known by a mark in its environment
        job.wait_published(2)
        job.strike(job.pid(2), SIGKILL)      # what has been published is noted, the clock started
        job.ends(within=5)                   # no rank is left, every published result is what it should be
        expect(job.status != 0, "exit status 0")

    TITLE = "Killed"
    ROWS = [Row("a worker is killed", kill_a_worker, times=10, quick=1)]

A fault within a callback notes its time by `struck()`, which `mine.py` has and
which is true once, if ``env={"FAULT": "1"}``. What is not a job over MPI (files that are parsed, say) just calls
`trial.count` as often as it provoked something. `expect` raises for what is not as promised;
so does any exception. `quick` is how many times the row runs in ``make test``
(tests/faults/test_faults.py); rows for a launcher that cannot do what they want say
so by `mpi`. `alone` keeps other trials away while a row runs.

    PYTHONPATH=tests python -m faults [--only GROUP,...] [--mpi openmpi] [--write tests/faults/provoked.md]
"""
