"""``parCorAnaWatch``: a page of a run while it goes on, or of a result."""

import getpass
import importlib.util
import socket
import sys
from pathlib import Path

from parcorana.errors import ConfigError, put, say, speaks, told
from parcorana.tools.parser import Parser, layout_of, positive, whole

_PROG = "parCorAnaWatch"
_EPILOG = """\
examples:
  parCorAnaWatch result.h5                     a page of the run that writes it, or of the result
  parCorAnaWatch result.h5 --port 8123         at a port that you know, for a tunnel
  parCorAnaWatch result.h5 --html page.html    the page as a file for a logbook, without a server
It prints the address of the page. Who has that address sees the page, and nobody else. From another machine,
go through ssh: the line for that is printed, too. The command only reads; Ctrl-C ends it and leaves the run alone.

exit status: 0 done; 1 the file cannot be written; 2 wrong arguments or input files.
"""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(
        prog=_PROG,
        description="Show a run in a browser while it goes on, or a result: curves, images, warnings, events.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", metavar="RESULT", help="result file, that of a run in progress, or its folder")
    parser.add_argument("--html", metavar="FILE", help="write the page into one file, and serve none")
    parser.add_argument(
        "--address", default="127.0.0.1", help="where to listen; without it this machine only, 127.0.0.1"
    )
    parser.add_argument("--port", type=whole(0, 65535), default=0, metavar="N", help="without it any that is free")
    parser.add_argument(
        "--quiet", type=positive, metavar="SECONDS",
        help="without an update for so long the run is called silent; without it a minute or five times an update",
    )  # fmt: skip
    parser.add_index_files()
    return parser


def _user():
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may know none
        return "USER"


def _watch(args):
    if importlib.util.find_spec("bokeh") is None:
        raise ConfigError("bokeh is not installed, which makes the page: pip install 'parcorana[watch]'")
    layout = layout_of(args)
    if args.html and Path(args.html).suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--html {args.html}: its name must end with .html")
    from parcorana.page.follow import Follower

    run = Follower(args.file, layout, args.quiet)
    if args.html:
        from parcorana.page.static import write_page

        write_page(args.html, run)
        put(args.html)
        return
    from parcorana.page.server import PageServer

    server = PageServer(run, args.address, args.port)
    host, port = socket.gethostname(), server.port
    everywhere = args.address in ("0.0.0.0", "::", "")
    put(f"http://{host if everywhere else args.address}:{port}{server.path}")
    if args.address in ("127.0.0.1", "localhost"):
        put(f"from another machine: ssh -N -L {port}:127.0.0.1:{port} {_user()}@{host}   and the same address")
    else:
        say(f"{_PROG}: warning: others on the network can read along: there is no encryption; better the tunnel")
    sys.stdout.flush()
    try:
        server.serve()
    except KeyboardInterrupt:
        put("ended; the run is not touched")


@speaks(_PROG)
def main(argv=None):
    """Run the command; return the exit status."""
    args = make_parser().parse_args(argv)
    return told(_PROG, _watch, args)


if __name__ == "__main__":
    sys.exit(main())
