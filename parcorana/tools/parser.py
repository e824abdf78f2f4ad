"""The parser of every command's arguments."""

import argparse
import math
import re
import sys

from parcorana.curves.fitchoice import KINDS, choice_in
from parcorana.detector.images import check_both, load_layout
from parcorana.errors import ConfigError, printable

_MOST = 1 << 60
_OPTION = re.compile(r"--?[A-Za-z][\w-]*")
_NEGATIVE = re.compile(r"-\.?\d")


def whole(least, most=_MOST):
    """Return the type of an option that is a whole number within limits, both included, which its errors tell."""

    def parse(text):
        if not text.isascii() or not text.isdecimal() or len(text) > 20 or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most:,}")
        return int(text)

    return parse


def numbers(count, what):
    """Return the type of an option that is so many finite numbers, with commas between them."""

    def parse(text):
        try:
            values = tuple(float(part) for part in text.split(","))
            if len(values) != count or not all(map(math.isfinite, values)):
                raise ValueError
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
        return values

    return parse


def positive(text):
    """Parse a number above 0."""
    (value,) = numbers(1, "a number")(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def tolerance(text):
    """Parse a tolerance: a number that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return value


def _fit(text):
    try:
        return choice_in(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(printable(str(error))) from None


def layout_of(args):
    """Return the layout of the index files that a command was given, None without any.

    Raises
    ------
    ConfigError
        There is only one of them, or they are none.
    """
    check_both(args.iX, args.iY)
    return load_layout(args.iX, args.iY) if args.iX else None


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that takes ``--center -200.5,30`` for what it means.

    argparse's own takes a word that begins with a minus for an option, unless
    it is a single number without an exponent. No command has an option that
    begins like a number. Lines of the epilog stay as they are.
    """

    def __init__(self, *args, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs):
        super().__init__(*args, formatter_class=formatter_class, **kwargs)

    def error(self, message):
        """End the command; names of files in the message, which a shell's ``*`` may have given, are shown as text."""
        super().error(printable(message))

    def add_index_files(self, more=""):
        """Add ``--iX`` and ``--iY``, of which `layout_of` makes a layout; `more` is what else there is to say."""
        self.add_argument("--iX", metavar="FILE", help=f"row of each element in the image{more}")
        self.add_argument("--iY", metavar="FILE", help="column of each element in the image")

    def add_fit(self, more=""):
        """Add ``--fit``, a `Choice`; `more` is what else there is to say."""
        kinds = ", ".join(KINDS[:-1])
        self.add_argument(
            "--fit", type=_fit, metavar="KIND",
            help=f"fit the curves{more}: {kinds} or {KINDS[-1]}; after it baseline=1 holds a parameter, tau=10:500 "
            "bounds it, tau~50 is where the search starts, delays=1:1000 are those that count, all with commas between",
        )  # fmt: skip

    def parse_known_args(self, args=None, namespace=None):
        """Parse; a word that begins like a negative number is the value of the option before it."""
        joined, words = [], iter(sys.argv[1:] if args is None else args)
        for word in words:
            if word == "--":  # no more options
                joined += [word, *words]
            elif joined and _NEGATIVE.match(word) and _OPTION.fullmatch(joined[-1]):
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return super().parse_known_args(joined, namespace)
