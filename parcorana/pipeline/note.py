"""Notes to the viewer: results, progress, accounts and timings, without pickle.

A note is a fixed header of int64 and a body of bytes: a JSON description
and the arrays that it describes, one after the other.
"""

import json

import numpy as np

PROGRESS, UPDATE, DONE, CHECKPOINT, SHARED = 1, 2, 3, 4, 5
HEADER = 3  # kind, bytes of the description, bytes of the body


def pack(kind, facts, arrays=None):
    """Return the header and body of a note.

    Parameters
    ----------
    kind : int
    facts : dict
        Anything that JSON can hold.
    arrays : dict of str to ndarray, optional

    Returns
    -------
    header : (3,) int64
    body : (b,) uint8
    """
    arrays = {name: np.asarray(array) for name, array in (arrays or {}).items()}
    about = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
    text = json.dumps({"facts": facts, "arrays": about}).encode()
    body = np.empty(len(text) + sum(array.nbytes for array in arrays.values()), np.uint8)
    body[: len(text)] = np.frombuffer(text, np.uint8)
    for name, part in _parts(body, len(text), about):
        part[...] = arrays[name]
    return np.array([kind, len(text), len(body)], np.int64), body


def unpack(header, body):
    """Return the facts and the arrays of a note."""
    about = json.loads(body[: header[1]].tobytes())
    # copied: aligned, and the user's to change
    return about["facts"], {name: part.copy() for name, part in _parts(body, int(header[1]), about["arrays"])}


def named(kind, arrays):
    """Return arrays under names that tell them from those of a calculation."""
    return {f"{kind}: {name}": array for name, array in arrays.items()}


def taken(kind, arrays):
    """Take the arrays that `named` has named out of a dictionary; return them."""
    mine = [name for name in arrays if name.startswith(f"{kind}: ")]
    return {name.removeprefix(f"{kind}: "): arrays.pop(name) for name in mine}


def _parts(body, at, about):
    """Generate the arrays that lie in a body behind its description, one after the other."""
    for name, (dtype, shape) in about.items():
        part = np.ndarray(shape, dtype, body, at)
        yield name, part
        at += part.nbytes
