"""Notes to the viewer: results, progress, accounts and timings, without pickle.

A note is a fixed header of int64 and a body of bytes: a JSON description
and the arrays that it describes, one after the other.
"""

import json

import numpy as np

PROGRESS, UPDATE, DONE, CHECKPOINT = 1, 2, 3, 4
HEADER = 4  # kind, bytes of the description, bytes of the body, full arrays follow


def pack(kind, facts, arrays=None, full=False):
    """Return the header and body of a note.

    Parameters
    ----------
    kind : int
    facts : dict
        Anything that JSON can hold.
    arrays : dict of str to ndarray, optional
    full : bool
        Full arrays follow, delay by delay.

    Returns
    -------
    header : (4,) int64
    body : (b,) uint8
    """
    arrays = {name: np.asarray(array, order="C") for name, array in (arrays or {}).items()}
    about = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
    text = json.dumps({"facts": facts, "arrays": about}).encode()
    body = b"".join([text, *(array.tobytes() for array in arrays.values())])
    header = np.array([kind, len(text), len(body), full], np.int64)
    return header, np.frombuffer(body, np.uint8)


def unpack(header, body):
    """Return the facts and the arrays of a note."""
    data = body.tobytes()
    about = json.loads(data[: header[1]])
    arrays, at = {}, int(header[1])
    for name, (dtype, shape) in about["arrays"].items():
        array = np.ndarray(shape, dtype, data, at)
        arrays[name] = array.copy()  # aligned, and the user's to change
        at += array.nbytes
    return about["facts"], arrays
