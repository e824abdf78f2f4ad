"""``parCorAnaMaskColorTool``: masks and colours, in the detector's ndarray and in images.

The command line is in `arguments`, the names of the files in `files`. A module
for each command: `start` (with `runs` and `average`, `included`, `coloring`
with `rings` and `partition`), `convert`, `plot` and `check`.
"""

from parcorana.errors import speaks, told
from parcorana.files.paths import allow_open_files
from parcorana.tools.maskcolor import check, convert, plot, start
from parcorana.tools.maskcolor.arguments import make_parser

_COMMANDS = {
    "start": start.start,
    "ndarr2img": convert.ndarr2img,
    "img2ndarr": convert.img2ndarr,
    "plot": plot.plot,
    "check": check.check,
}


@speaks("parCorAnaMaskColorTool")
def main(argv=None):
    """Run the command; return the exit status."""
    args = make_parser().parse_args(argv)
    allow_open_files()
    return told("parCorAnaMaskColorTool", _COMMANDS[args.command], args)
