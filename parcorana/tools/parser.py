"""The parser of every command's arguments."""

import argparse
import math
import re
import sys

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


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that takes ``--center -200.5,30`` for what it means.

    argparse's own takes a word that begins with a minus for an option, unless
    it is a single number without an exponent. No command has an option that
    begins like a number.
    """

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
