"""Arguments of ``parCorAnaDriver``."""

import argparse
import os
from contextlib import redirect_stderr, redirect_stdout, suppress

from parcorana._version import __version__
from parcorana.pipeline import mpi
from parcorana.tools.parser import Parser

_EPILOG = """\
examples:
  parCorAnaDriver -c myconfig.py --check             say what would run, and what memory and time it takes
  mpiexec -n 4 parCorAnaDriver -c myconfig.py        the main job: 1 viewer, 1 server, 2 workers
  parCorAnaDriver -c myconfig.py -n 1000             the same in one process, first 1000 events
  parCorAnaDriver -c myconfig.py -o t.h5 --test_main --test_alt --cmp   does the calculation do what it should?
  parCorAnaDriver --join out.h5.inprogress           join what a killed run published
  parCorAnaDriver -c myconfig.py --resume            go on with a run that was stopped or killed (key checkpoint)
  parCorAnaDriver --stop out.h5                      end the run that writes out.h5, well; from any shell

exit status: 0 done, or stopped by SIGTERM, Ctrl-C or --stop; 1 failed while running, or interrupted twice;
2 wrong arguments, config or input files.
"""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(
        prog="parCorAnaDriver",
        description="Correlate the detector frames of a run, for every element and delay, over MPI or in one process.",
        epilog=_EPILOG,
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="config file: Python with system_params and user_params")
    parser.add_argument("-v", "--verbosity", metavar="LEVEL", help="debug, info, warning or error (config: verbosity)")
    parser.add_argument("-n", "--numevents", type=int, metavar="N", help="only the first N events, 0 for all")
    parser.add_argument("-o", "--h5output", metavar="FILE", help="result file; %%T is the time, %%C a free counter")
    parser.add_argument("--overwrite", action="store_true", default=None, help="replace an existing result file")
    parser.add_argument("-d", "--dataset", metavar="DATASET", help="as exp=xpptut15:run=54, h5=FILE, sim=brownian")
    parser.add_argument("-m", "--mask", metavar="FILE", help="mask, .npy, 1 = process")
    parser.add_argument("-s", "--numservers", type=int, metavar="N", help="ranks that read events")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint of an interrupted run")
    parser.add_argument(
        "--check",
        action="store_true",
        help="check everything, print it, the memory, and after a measurement of half a second the time that a run "
        "takes, the size of its result and better numbers of ranks; stop",
    )
    parser.add_argument("--test_main", action="store_true", help="the job on the test mask and the test events")
    parser.add_argument("--test_alt", action="store_true", help="the same by calcAndPublishForTestAlt, one process")
    parser.add_argument("--cmp", action="store_true", help="compare the results of --test_main and --test_alt")
    parser.add_argument("--join", metavar="FOLDER", help="join NAME.inprogress of a killed run into NAME (or -o), stop")
    parser.add_argument("--stop", metavar="NAME", help="ask the run that writes the result file NAME to stop well")
    parser.add_argument(
        "--stop-signal",
        metavar="SIG",
        type=lambda text: text.upper().removeprefix("SIG"),
        choices=("USR1", "USR2"),
        help="USR1 or USR2: a signal that stops the run well, as SIGTERM does; for the warning of a batch system",
    )
    parser.add_argument(
        "--start-limit",
        metavar="S",
        type=_seconds,
        default=120.0,
        help="seconds that MPI, or the config file, may take to start before the job ends (default: 120; 0: any)",
    )
    parser.add_argument(
        "--trust-config", action="store_true", help="run a config file that everybody may write to, or replace"
    )
    parser.add_argument("--version", action="version", version=f"parcorana {__version__}")
    return parser


def _seconds(text):
    """Return a time that is given as text."""
    with suppress(ValueError):
        if 0 <= (seconds := float(text)) <= 1e9:
            return seconds
    raise argparse.ArgumentTypeError(f"must be a number of seconds, 0 or more, not {text!r}")


def parsed(argv):
    """Return the arguments; where they are wrong, or ask for a text, only rank 0 says so."""
    if mpi.rank_of_environment() == 0:
        return make_parser().parse_args(argv)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return make_parser().parse_args(argv)
