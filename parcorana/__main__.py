"""``python -m parcorana``: what is installed here, for bug reports and for the curious; and `new-module`."""

import os
import platform
import sys
from importlib import metadata

from parcorana.errors import speaks
from parcorana.tools.parser import Parser


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def mpi_library():
    """Return one line on the MPI library that mpi4py loads, without starting MPI."""
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        return f"none: {str(error).splitlines()[0]} (on one machine: pip install parcorana[mpich])"
    lines = MPI.Get_library_version().replace("\0", "").split("\n")
    return " ".join(" ".join(lines[:1]).split())


def report():
    """Return what is installed, one fact a line."""
    import h5py
    import numpy as np

    from parcorana import __version__, _core
    from parcorana.correlate.cpu import choose_code_path

    build = _core.build_info()
    openmp = f"yes ({build['openmp']}), {len(os.sched_getaffinity(0))} cores" if build["openmp"] else "no: one thread"
    psana = _version("psana")
    facts = {
        "parcorana": __version__,
        "Python": sys.version.split()[0],
        "NumPy": np.__version__,
        "HDF5": f"{h5py.version.hdf5_version} (h5py {h5py.__version__})",
        "compiler": build["compiler"],
        "OpenMP": openmp,
        "CPU": f"{platform.machine()}, code path {choose_code_path()} of {', '.join(_core.paths())}",
        "mpi4py": _version("mpi4py") or "none",
        "MPI": mpi_library(),
        "psana": psana or "none (pip install parcorana[psana])",
    }
    width = max(map(len, facts))
    return "\n".join(f"{key:{width}}  {value}" for key, value in facts.items())


@speaks("python -m parcorana")
def main(argv=None):
    """Run the command; return the exit status: 0 done, 1 failed, 2 wrong arguments."""
    parser = Parser(
        prog="python -m parcorana",
        description="Without a command: say what is installed here.",
        epilog="exit status: 0 done, 1 failed, 2 wrong arguments",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    module = commands.add_parser("new-module", help="begin a project for a user class of your own, compiled by Cython")
    module.add_argument("name", metavar="NAME", help="of the module and of the new folder for it")
    args = parser.parse_args(argv)
    if args.command is None:
        print(report())
        return 0
    from parcorana.errors import ParCorAnaError, say
    from parcorana.tools import newmodule

    try:
        print(newmodule.report(newmodule.make_module(args.name)))
    except ParCorAnaError as error:
        say(f"python -m parcorana new-module: {error}")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
