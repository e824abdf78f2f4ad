"""The parser of every command's arguments."""

import argparse
import re
import sys

_OPTION = re.compile(r"--?[A-Za-z][\w-]*")
_NEGATIVE = re.compile(r"-\.?\d")


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
