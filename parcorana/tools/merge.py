"""``parCorAnaMerge``: several results into one; one result with other colours."""

import argparse
import os
import sys
from itertools import combinations
from pathlib import Path

from parcorana.curves import curvefile
from parcorana.curves.fitchoice import choice_of
from parcorana.curves.sums import NORMALIZATIONS
from parcorana.errors import ConfigError, RunError, one_line, printable, put, say, speaks, told
from parcorana.events.dataset import parse_dataset
from parcorana.files.aside import hdf5, written
from parcorana.g2.merge import merge
from parcorana.results.common import Asked, common_of
from parcorana.results.folder import give_back, identity, version_of
from parcorana.results.merged import write_merged_system
from parcorana.results.name import resolve_name
from parcorana.results.runs import opened_runs
from parcorana.tools.parser import Parser, whole

_PROG = "parCorAnaMerge"
_EPILOG = """\
examples:
  parCorAnaMerge run3.h5 run4.h5 run5.h5 -o all.h5              their sums added, the curves made of those
  parCorAnaMerge run3.h5 -o again.h5 --color rings_color.npy    the curves of one run in other colours
  parCorAnaMerge run3.h5 -o again.h5 --mask smaller.npy --normalization pixel
A result can be merged if it has its full arrays: user_params save_arrays 'last' (the default) or True.

exit status: 0 done; 1 the file cannot be written; 2 wrong arguments or input files, or files that do not fit together.
"""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(
        prog=_PROG,
        description="Make one result of several runs by adding their sums; or new curves from the sums of one.",
        epilog=_EPILOG,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="result file of a G2 class")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="result file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--mask", metavar="FILE", help="mask, .npy: a part of what all files processed")
    parser.add_argument("--common-mask", action="store_true", help="take the elements that all files processed")
    parser.add_argument("--color", metavar="FILE", help="colours, .npy, with their table beside them")
    parser.add_argument("--finecolor", metavar="FILE", help="fine colours, .npy, for --normalization finecolor")
    parser.add_argument("--normalization", choices=NORMALIZATIONS, help="in place of that of the files")
    parser.add_argument("--common-delays", action="store_true", help="take the delays that all files have")
    parser.add_argument("--uncorrected", action="store_true", help="curves without the frame_norm that the runs had")
    parser.add_argument(
        "--at", type=whole(0), metavar="N", help="the update at N events of each file; without it the last"
    )
    parser.add_argument("--class", metavar="NAME", dest="of", help="the class to merge, of results that hold several")
    parser.add_fit(", in place of what the first run asked for")
    parser.add_argument(
        "--save-arrays", action=argparse.BooleanOptionalAction, default=True,
        help="whether the file gets the full arrays, without which it cannot be merged again",
    )  # fmt: skip
    return parser


def _warn(text):
    say(f"{_PROG}: warning: {printable(text)}")


def _merge(args):
    asked = Asked(**{name: getattr(args, name) for name in Asked.__dataclass_fields__})
    if asked.mask and asked.common_mask:
        raise ConfigError("--mask and --common-mask exclude each other")
    if len(args.files) == 1 and asked == Asked() and args.save_arrays and not (args.fit or args.at or args.of):
        raise ConfigError(
            f"{args.files[0]}: there is one file and nothing to change: name more files, or --mask, --color, "
            "--normalization or another option"
        )
    output = resolve_name(args.output, args.overwrite, reserves=True)
    with opened_runs(args.files, args.at, args.of) as runs:
        for run, name in zip(runs, args.files, strict=True):
            if identity(output) is not None and identity(output) == identity(name):
                raise ConfigError(f"-o {output}: it is one of the files that are merged")
            if not run.complete:
                _warn(f"{run.label} is not complete ({run.ended_by}): a part of a run, {run.result.processed:,} events")
        _warn_of_repeats(runs)
        common = common_of(runs, asked, _warn)
        fit = args.fit or _fit_of(runs[0])
        said, errors = _written(output, runs, common, asked, fit, args)
        if len(runs) > 1 and any("photons" in run.system for run in runs):
            said.append("how many photons were found is left out: each run's own file says it")
        for text in said:
            _warn(text)
        _summarize(runs, common, output, errors)


def _written(output, runs, common, asked, fit, args):
    """Write the file, aside and then renamed; return what is to be said of it, and of its errors."""
    path = Path(output).absolute()
    found, keep = version_of(path), args.save_arrays
    more = {"save_arrays": "last" if keep else False, "fit": fit and fit.plain}
    if asked.color:
        more["color_table"] = None
    try:
        with written(path) as disk, hdf5(disk) as file:
            write_merged_system(file.create_group("system"), runs, common, asked, str(output), more)
            processed = sum(run.result.processed for run in runs)
            group = file.create_group(f"user/G2_results_at_{processed:06d}")
            if len(runs) == 1 and "relsec" in runs[0].group.attrs:
                group.attrs["relsec"] = runs[0].group.attrs["relsec"]
            said, errors = merge(runs, common, group, fit, keep, len(os.sched_getaffinity(0)))
            said += curvefile.complete(file["user"])
            if not args.overwrite and version_of(path) != found:
                raise FileExistsError("a file of that name has come meanwhile, and --overwrite is not said")
    except OSError as error:
        raise RunError(f"cannot write {str(output)!r}: {one_line(error)}") from None
    return said, errors


def _fit_of(run):
    """Return which fit a run had, if it can be made here."""
    try:
        return choice_of(run.user_params.get("fit"))
    except ConfigError as error:
        _warn(f"the result has no fits: {error}")
        return None


def _warn_of_repeats(runs):
    """Warn where the same data may be in two of the files."""
    for one, other in combinations(runs, 2):
        for mine in one.sources:
            if twice := next((row for row in other.sources if _overlap(mine["dataset"], row["dataset"])), None):
                where = f"{mine['dataset']!r} and {twice['dataset']!r}"
                what = repr(mine["dataset"]) if mine["dataset"] == twice["dataset"] else f"runs of {where}"
                _warn(f"{one.label} and {other.label} both hold {what}: are its events counted twice?")
                break


def _overlap(one, other):
    """Tell whether two datasets have data in common, by their names."""
    if one == other:
        return bool(one)
    try:
        one, other = parse_dataset(one), parse_dataset(other)
    except ConfigError:
        return False
    return one.kind == "exp" and (one.kind, one.name) == (other.kind, other.name) and bool({*one.runs} & {*other.runs})


def _summarize(runs, common, output, errors):
    for run in runs:
        pairs = run.counts_at(common.delays)
        dataset = run.system_params.get("dataset", "")
        most = pairs.max(initial=0)
        put(f"{run.label}: {dataset}, {run.result.processed:,} events, {most:,} pairs of a delay at most")
    events, kept = sum(run.result.processed for run in runs), int(common.mask.sum())
    put(
        f"{output}: {events:,} events, {len(common.delays)} delays, {kept:,} elements, normalization "
        f"{common.normalization}; {errors}"
    )


@speaks(_PROG)
def main(argv=None):
    """Run the command; return the exit status."""
    args = make_parser().parse_args(argv)
    try:
        return told(_PROG, _merge, args)
    finally:
        give_back()


if __name__ == "__main__":
    sys.exit(main())
