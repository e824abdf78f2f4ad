"""``make faults``: provoke every fault, print the table, exit with 1 if anything was not as promised."""

import argparse
import sys
import time

from faults import table
from faults.launchers import find


def main():
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--only", metavar="GROUP,...", type=lambda text: text.split(","), help="only these groups")
    parser.add_argument("--mpi", choices=("mpich", "openmpi"), help="which MPI it must be (default: any)")
    parser.add_argument("--mpiexec", metavar="PATH", help="default: beside this Python, or on the path")
    parser.add_argument("--jobs", type=int, default=2, help="trials at once (default: 2)")
    parser.add_argument("--times", type=float, help="multiplies how often each fault is provoked")
    parser.add_argument("--write", metavar="FILE", help="put the table between the markers of this document")
    args = parser.parse_args()
    launcher = find(args.mpi, args.mpiexec)
    start = time.monotonic()
    done = table.run(launcher, args.only, args.jobs, args.times)
    text = table.as_text(done, launcher, time.monotonic() - start)
    print(f"\n{text}")
    if args.write:
        table.write(args.write, launcher, text)
    return 0 if table.is_good(done) else 1


if __name__ == "__main__":
    sys.exit(main())
