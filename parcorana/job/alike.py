"""Whether all ranks have the same job: what each of them has read is compared before any event is.

Ranks read config, masks and colours each for itself. A file that was edited
while the job started, or an old copy on a host's own disk, would make the
result wrong without a word.
"""

import os
import platform
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from parcorana._version import __version__
from parcorana.detector import masks
from parcorana.errors import shown
from parcorana.job.fingerprint import digest, file_digest, looked_up, modules_of

# Of these only rank 0's value counts, or each rank has its own.
_OWN = ("h5output", "testh5output", "verbosity", "threads")
_MOST = 5  # differences that are told
_LONGEST = 60  # characters of a value
_COMPILED = (".so", ".pyd")


class Fact(NamedTuple):
    """One thing that all ranks should have alike.

    Attributes
    ----------
    digest : bytes
    text : str
        How a rank that differs is described; empty: as having another one.
    needed : bool
        Whether a rank may not lack it.
    fatal : bool
        Whether results are wrong where it differs; else that is a warning.
    """

    digest: bytes
    text: str = ""
    needed: bool = True
    fatal: bool = True


def facts_of_program(arguments, mpi):
    """Return what ranks should have alike before any config is read: name -> Fact.

    Parameters
    ----------
    arguments : dict
        Of the command line.
    mpi : str
        The library.
    """
    package = Path(__file__).resolve().parent.parent
    sources, compiled = (
        digest({str(path.relative_to(package)): file_digest(path) for path in package.rglob("*") if is_one(path)})
        for is_one in (lambda path: path.suffix == ".py", lambda path: path.suffix in _COMPILED)
    )
    texts = {
        "parcorana": __version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "NumPy": np.__version__,
        "MPI": mpi,
        "byte order": sys.byteorder,
        **{f"--{key.replace('_', '-')}": shown(value, _LONGEST) for key, value in arguments.items()},
    }
    facts = {name: Fact(text.encode(), text) for name, text in texts.items()}
    # of the latter each host may have built its own
    made = {"a compiled module of parcorana": Fact(compiled, fatal=False)}
    return facts | {"the source of parcorana": Fact(sources)} | made


def facts_of_config(config, path):
    """Return what ranks should have alike of what they have read: name -> Fact.

    Parameters
    ----------
    config : Config
    path : str
        Of the config file.
    """
    classes = [own.user_class for own in config.classes.values()] or [config.user_class]
    included = f"{config.elements:,} of {config.mask.size:,} elements"
    facts = {"the mask": Fact(digest(config.mask), included)}
    for key, array in masks.color_files(config):
        facts[f"user_params[{key!r}]"] = Fact(digest(array), f"{len(np.unique(array)):,} values of {array.shape}")
    for key, value in config.system_params.items():
        if key not in (*_OWN, "mask", "user_class"):
            facts[key] = Fact(_with_files(value), shown(value, _LONGEST))
    for key, value in config.user_params.items():
        facts.setdefault(f"user_params[{key!r}]", Fact(_with_files(value), shown(value, _LONGEST)))
    facts["user_class"] = Fact(
        digest([each.__qualname__ for each in classes]), shown([c.__qualname__ for c in classes])
    )
    for each in classes:
        facts[f"the code of {each.__qualname__}"] = Fact(digest(each))
    # it may be a time or a rank, which is of no harm in a log: who knows what it is for is told
    for name, value in looked_up(classes).items():
        facts[f"{name} in the code of {classes[0].__qualname__}"] = Fact(
            digest(value), shown(value, _LONGEST), fatal=False
        )
    files = modules_of(classes)
    if any(each.__module__ not in sys.modules for each in classes):
        files["the config"] = path
    for name, file in files.items():
        if os.path.isfile(file):
            fatal = not file.endswith(_COMPILED)
            facts[f"the file of {name}"] = Fact(file_digest(file), needed=False, fatal=fatal)
    return facts


def _with_files(value):
    """Return the digest of a parameter, with what is in the files that it names in place of their names."""

    def seen(value):
        if isinstance(value, dict):
            return {key: seen(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [seen(item) for item in value]
        if isinstance(value, str | os.PathLike):
            try:
                return file_digest(value) if os.path.isfile(value) else str(value)
            except (OSError, ValueError):  # who takes it for a file is going to say so
                return str(value)
        return value

    return digest(seen(value))


def differences(facts, hosts):
    """Return what ranks do not have alike, one phrase for each: what is an error, and what a warning.

    Parameters
    ----------
    facts : list of dict of str to Fact
        Of each rank.
    hosts : list of str
        Of each rank.

    Returns
    -------
    errors, warnings : list of str
    """
    found = {True: [], False: []}
    for name in dict.fromkeys(name for each in facts for name in each):
        of_ranks = [each.get(name) for each in facts]
        one = next(filter(None, of_ranks))
        here = [rank for rank, fact in enumerate(of_ranks) if fact or one.needed]
        digests = [of_ranks[rank] and of_ranks[rank].digest for rank in here]
        if len(set(digests)) > 1:
            found[one.fatal].append(f"{name} differs: {_who(here, [of_ranks[rank] for rank in here], digests, hosts)}")
    return found[True], found[False]


def _who(ranks, facts, digests, hosts):
    """Return who has what: the fewest first, and the most as 'the others'."""
    groups = Counter(digests).most_common()
    usual, others = groups[0][0], [made for made, _ in groups[:0:-1]]
    texts, told = [], len({(fact := facts[digests.index(made)]) and fact.text for made, _ in groups}) == len(groups)
    for made in [*others[:_MOST], usual]:
        some = [rank for rank, each in zip(ranks, digests, strict=True) if each == made]
        fact = facts[digests.index(made)]
        what = "nothing" if fact is None else fact.text if told else ""
        is_others = made == usual and len(some) > 1
        who = "the others" if is_others else named(some, hosts)
        if what:
            texts.append(f"{who} {'have' if len(some) > 1 else 'has'} {what}")
        elif made != usual:
            texts.append(f"{who} {'have' if len(some) > 1 else 'has'} another one")
    return ", ".join(texts)


def named(ranks, hosts):
    """Return ranks and their hosts as text, a few of them."""
    some = ", ".join(map(str, ranks[:8])) + (", ..." if len(ranks) > 8 else "")
    where = list(dict.fromkeys(hosts[rank] for rank in ranks))
    at = ", ".join(where[:4]) + (", ..." if len(where) > 4 else "")
    return f"rank{'s' * (len(ranks) > 1)} {some} ({at})"


def sentence(phrases):
    """Return one line of phrases, the first few of them."""
    more = len(phrases) - _MOST
    return "; ".join(phrases[:_MOST]) + (f"; and {more} more" if more > 0 else "")
