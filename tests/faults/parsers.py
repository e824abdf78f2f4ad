"""Inputs for everything here that parses, and what must become of each.

A target takes one input: it must be read as NumPy, h5py or a few lines of plain
Python read it, or be refused with one sentence of one of our own errors that
names what it is about. Anything else (another exception, a value that differs, a
warning) is raised.
"""

import io
import os
import re
import string
import types
import warnings
from contextlib import redirect_stderr, redirect_stdout
from fractions import Fraction
from functools import partial

import numpy as np
from hypothesis import strategies as st

from parcorana.correlation.delays import check_delays
from parcorana.detector import masks
from parcorana.detector.images import load_layout
from parcorana.errors import ConfigError, RunError
from parcorana.events import psana_config
from parcorana.events.dataset import escaped, parse_dataset
from parcorana.events.hdf5.times import to_int64
from parcorana.events.simulated import Brownian
from parcorana.job import config, keys
from parcorana.userg2 import PARAMS, G2atEnd

LONGEST = 5000


def one_sentence(error, *words):
    """Check the text of a refusal."""
    text = str(error)
    assert text and text.isprintable() and len(text) < LONGEST, f"not a sentence: {text!r}"
    assert not words or any(word in text for word in words), f"names none of {words}: {text}"


def outcome(read, *words):
    """Return (True, what was read) or (False, None) if it was refused as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return True, read()
        except (ConfigError, RunError) as error:
            one_sentence(error, *words)
            return False, None


def equal(a, b):
    """Check that two arrays are the same in all."""
    assert a.dtype == b.dtype and a.shape == b.shape, (a.dtype, b.dtype, a.shape, b.shape)
    assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


# -- bytes ---------------------------------------------------------------------


def damaged(data, random, most=8):
    """Return bytes with some changed, left out, put in, doubled, or cut off."""
    data = bytearray(data)
    for _ in range(random.randint(1, most)):
        at = random.randrange(len(data) + 1)
        length = min(len(data) - at, 1 << random.randrange(8))
        match random.randrange(7):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = random.randbytes(length)
            case 3:
                data[at : at + length] = b"\xff" * length
            case 4:
                data[at : at + length] = bytes(length)
            case _:
                for k in range(at, min(at + random.choice((1, 1, 2, 4, 8)), len(data))):
                    data[k] = random.choice((random.randrange(256), data[k] ^ 1 << random.randrange(8)))
    return bytes(data)


# -- .npy ----------------------------------------------------------------------

DESCR = [
    "|b1",
    "|i1",
    "|u1",
    "<i2",
    ">i4",
    "<i8",
    ">u8",
    "<f2",
    "<f4",
    ">f8",
    "<f16",
    "<c8",
    "|O",
    "|S5",
    "<U3",
    "|V4",
    "<M8[ns]",
    "<m8[s]",
    "i8,f4",
    [("a", "<f4"), ("b", "|O")],
    [("\n\x1b[31m", "<i4")],
    "x" * 3000,
    "",
    None,
    5,
    ("<i4", (2, 2)),
]
SIZES = st.one_of(st.integers(0, 4), st.sampled_from([-1, -(2**63), 2**31, 2**32, 2**63, 10**15, 10**400, True, 1.0]))


def npy_header(descr, shape, fortran, extra):
    return repr({"descr": descr, "fortran_order": fortran, "shape": shape} | extra).encode() + b"\n"


@st.composite
def npy_files(draw):
    """Bytes of a .npy file, right or wrong."""
    array = np.arange(24)[: draw(st.integers(0, 24))].astype(
        draw(st.sampled_from(["?", "u1", "i4", ">i8", "f4", "f8"]))
    )
    if draw(st.booleans()):
        array = array % draw(st.sampled_from([2, 3]))  # a mask, colours
    if array.size == 24:
        array = array.reshape(draw(st.sampled_from([(24,), (4, 6), (2, 3, 4), (1, 24), (24, 1, 1)])))
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array, order=draw(st.sampled_from("CF"))), allow_pickle=False)
    data = file.getvalue()
    kind = draw(st.sampled_from(["whole", "header", "damaged", "zip", "pickle", "bool"]))
    if kind == "header":
        shape = draw(st.one_of(st.just(array.shape), st.lists(SIZES, max_size=5).map(tuple), st.just((1,) * 80), SIZES))
        descr = draw(st.one_of(st.just(array.dtype.str), st.sampled_from(DESCR)))
        extra = draw(st.sampled_from([{}, {}, {}, {"more": 1}, {"shape": None}]))
        header = npy_header(descr, shape, draw(st.sampled_from([True, False, 1])), extra)
        header = draw(st.sampled_from([header, header.replace(b")", b"L)"), b"(" * 300 + header, header[:-3]]))
        version = draw(st.sampled_from([(1, 0), (2, 0), (3, 0), (4, 0)]))
        length = len(header).to_bytes(2 if version == (1, 0) else 4, "little")
        data = b"\x93NUMPY" + bytes(version) + length + header + array.tobytes()
    elif kind == "damaged":
        data = damaged(data, draw(st.randoms(use_true_random=False)))
    elif kind == "zip":
        file = io.BytesIO()
        np.savez(file, a=array)
        data = file.getvalue()
    elif kind == "pickle":
        file = io.BytesIO()
        np.save(file, np.array([array, None], object), allow_pickle=True)
        data = file.getvalue()
    elif kind == "bool" and array.dtype == bool and array.size:
        data = data[: -array.size] + bytes(draw(st.lists(st.integers(0, 3), min_size=array.size, max_size=array.size)))
    return data


def read_npy(path):
    """Return what NumPy reads of a file of real numbers, None if it reads none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            array = np.load(path, allow_pickle=False)
        except Exception:
            return None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or not array.size or not array.ndim:
        return None
    return None if array.dtype.kind == "b" and array.view(np.uint8).max() > 1 else array


def npy(path, data):
    """Read a .npy file as numbers, and as a mask, colours, a layout or constants."""
    from parcorana.events.psana2.calibration import load_constants

    with open(path, "wb") as file:
        file.write(data)
    name = os.path.basename(path)
    right = read_npy(path)
    taken, array = outcome(partial(masks.load_numbers, "-i", path), name)
    shape = _claims(data)
    assert taken == (right is not None and shape is not False), f"taken: {taken}, by NumPy: {right!r}"
    if taken:
        equal(array, right)
    whole = taken and right.dtype.kind in "biu"
    match len(data) % 4:
        case 0:
            taken, array = outcome(partial(masks.load_mask, path), name)
            assert taken == bool(whole and set(np.unique(right).tolist()) <= {0, 1} and right.any())
            wanted = bool
        case 1:
            mask = np.ones(right.shape if right is not None else (2, 3), bool)
            taken, array = outcome(partial(masks.load_color, path, mask), name)
            assert taken == bool(whole and int(right.min()) >= 0 and int(right.max()) < 2**63)
            wanted = np.int64
        case 2:
            taken, array = outcome(partial(lambda: load_layout(path, path).iX), name)
            assert not taken or (array == right).all()
            wanted = np.int32
        case 3:
            taken, array = outcome(partial(load_constants, path, "gain"), name)
            wanted = np.float32
    if taken:
        equal(array, right.astype(wanted))


def _claims(data):
    """Return False for what NumPy reads though its header makes no sense: a shape with a negative or bool length."""
    try:
        file = io.BytesIO(data)
        np.lib.format.read_magic(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape = (
                np.lib.format.read_array_header_2_0(file)[0]
                if data[6] > 1
                else np.lib.format.read_array_header_1_0(file)[0]
            )
    except Exception:
        return None
    return all(type(length) is int and length >= 0 for length in shape)


# -- dataset strings -----------------------------------------------------------

KEYS = [
    "exp",
    "run",
    "dir",
    "stream",
    "file",
    "shmem",
    "h5",
    "sim",
    "shape",
    "events",
    "tau",
    "seed",
    "colors",
    "Run",
    "",
]
VALUES = st.one_of(
    st.sampled_from(
        ["xpptut15", "brownian", "1", "3-5,8", "5-3", "1-", "0-999999999", "2x3", "1e400", "nan", "-1", "", "a,b", "*"]
    ),
    st.sampled_from(
        [
            "1_0",
            "٣",
            "²",
            "\x00",
            "\n",
            "a" * 300,
            "0x10",
            " 7 ",
            "\x1c7",
            "1,1",
            "1e3",
            "inf",
            "12345678901234567890123",
            r"a\:b\,c,d",
            "a\\",
        ]
    ),
    st.text(max_size=6),
)
PARTS = st.one_of(
    st.builds("{}={}".format, st.sampled_from(KEYS), VALUES),
    st.sampled_from(["live", "idx", "smd", "Live", ""]),
    st.text(max_size=4),
)
DATASETS = st.one_of(
    st.lists(PARTS, max_size=5).map(":".join),
    st.builds("exp=xpptut15:run={}:{}".format, VALUES, PARTS),
    st.builds("sim=brownian:{}:{}".format, PARTS, PARTS),
    st.builds("h5={}:{}".format, VALUES, PARTS),
    st.text(max_size=30),
    st.text(string.printable, max_size=60),
    st.sampled_from([None, 5, b"sim=brownian", [], np.str_("h5=a.h5")]),
)


def dataset(text):
    """Parse a dataset string; what is taken says nothing that is not in the text, and all that is."""
    taken, found = outcome(partial(parse_dataset, text), "dataset", "run=", "stream=")
    if not taken:
        return
    parts = [part.partition("=") for part in re.split(r"(?<!\\):", text.strip())]
    given = {key: value for key, equals, value in parts if equals}
    if found.kind == "h5":
        assert [escaped(name) for name in found.names] == re.split(r"(?<!\\),", given["h5"])
    names = {"exp", "file", "shmem", "h5", "dir"} if found.kind != "sim" else {"sim"}
    given |= {key: re.sub(r"\\([:,])", r"\1", value) for key, value in given.items() if key in names}
    assert len(given) == sum(bool(equals) for _, equals, _ in parts)
    said = {found.kind: found.name} | ({"dir": found.dir} if found.dir is not None else {}) | found.options
    for key, numbers in (("run", found.runs), ("stream", found.streams)):
        if numbers:
            said[key] = given.get(key)
            assert numbers == tuple(_numbers(given[key]))
    assert said == given
    assert {key for key, equals, _ in parts if not equals} == {f for f in ("live", "idx", "smd") if getattr(found, f)}
    found.label()
    if found.kind == "sim":
        taken, options = outcome(partial(Brownian.of, found), "sim=")
        for key, value in found.options.items() if taken else ():
            if key == "shape":
                assert options.shape == tuple(map(int, value.split("x")))
            else:
                assert getattr(options, key) == (int if isinstance(getattr(options, key), int) else float)(value)


def _numbers(text):
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


# -- times ---------------------------------------------------------------------

TIMES = st.one_of(
    st.lists(st.floats(width=64), max_size=5).map(lambda v: np.array(v, "f8")),
    st.lists(st.floats(-1e10, 1e10), max_size=5).map(lambda v: np.array(v, ">f8")),
    st.lists(st.integers(0, 2**64 - 1), max_size=5).map(lambda v: np.array(v, "u8")),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5).map(lambda v: np.array(v, "i8")),
    st.lists(st.integers(0, 255), max_size=5).map(lambda v: np.array(v, "u1")),
    # LCLS: seconds above, nanoseconds below
    st.lists(st.tuples(st.integers(6e8, 3e9), st.integers(0, 1.1e9)), min_size=1, max_size=4).map(
        lambda v: np.array([s << 32 | n for s, n in v], "u8")
    ),
)


def times(values):
    """Convert times to int64: exact to half a nanosecond; of those that are none it is told that they are none."""
    for clock in (True, False):
        found, good = to_int64(values, clock)
        assert found.dtype == np.int64 and len(found) == len(good) == len(values)
        whole = values.dtype.kind != "f"
        packed = [divmod(v, 2**32) for v in values.tolist()] if whole and values.dtype.itemsize == 8 else []
        fits = [600_000_000 <= s < 2**31 and n < 10**9 for s, n in packed]
        if clock and 2 * sum(fits) > len(fits):  # LCLS's form, of which a few may be none
            exact = [s * 10**9 + n if fit else None for (s, n), fit in zip(packed, fits, strict=True)]
        else:
            exact = [Fraction(v) * (1 if whole else 10**9) if np.isfinite(v) else None for v in values.tolist()]
            exact = [v if v is not None and -(2**63) <= v < 2**63 else None for v in exact]
        for a, b, right in zip(found.tolist(), exact, good.tolist(), strict=True):
            assert not right or (b is not None and abs(a - b) <= (0 if whole else Fraction(1, 2) + Fraction(1, 10**6)))
            assert right or b is None or not whole, f"taken for none, though it fits: {values}"


# -- dictionaries --------------------------------------------------------------


class Lines:
    """Whose repr has several lines and control characters."""

    def __repr__(self):
        return "one\ntwo\x1b[31m" + "three" * 999


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        [
            10**400,
            -(10**19),
            2**63,
            1e308,
            5e-324,
            -0.0,
            b"x",
            "",
            " ",
            "a\nb",
            "\x1b[31m",
            "x" * 9000,
            "\x00",
            "/dev/null",
        ]
    ),
    st.sampled_from(
        [np.float32(3), np.int8(4), np.bool_(True), np.str_("INFO"), np.float32, np.dtype("f4"), 1j, Fraction(1, 3)]
    ),
    st.sampled_from(
        [
            int,
            G2atEnd,
            object(),
            Lines(),
            Lines,
            len,
            types,
            ...,
            range(3),
            range(1, 4),
            {},
            {"a": 1},
            {1, 2},
        ]
    ),
    st.sampled_from(
        [
            np.array([1, 2]),
            np.array([]),
            np.arange(1, 5),
            np.array(5),
            np.zeros((2, 2)),
            np.array(["a"]),
            np.arange(9999),
        ]
    ),
    st.lists(st.one_of(st.integers(-2, 2**70), st.text(max_size=3), st.none(), st.floats()), max_size=4),
    st.lists(st.integers(1, 2**41), max_size=4, unique=True).map(sorted),
    st.lists(st.integers(1, 50), min_size=1, max_size=5).map(tuple),
)
CONFIGS = st.tuples(
    st.dictionaries(st.one_of(st.sampled_from([*keys.KEYS]), st.just("mistyped")), JUNK, max_size=3),
    st.dictionaries(
        st.sampled_from([*PARAMS, "x"]),
        JUNK,
        max_size=2,
    ),
)
ALIKE = {"verbosity": lambda v: str(v).upper(), "store_dtype": np.dtype}


def dictionaries(mask, changes):
    """Check both dictionaries of a config."""
    system, user = changes
    good = {"dataset": "sim=brownian", "mask": mask, "times": 10, "delays": [1, 2], "user_class": G2atEnd}
    given = good | system
    taken, found = outcome(
        partial(config.resolve_config, given, user), *(str(key) for key in (*system, *user)), "mask", "h5output"
    )
    if not taken:
        assert system or user, "the right one is refused"
        return
    for key, value in system.items():
        read = getattr(found, key, None) if hasattr(found, key) else found.system_params[key]
        if key in ("dataset", "mask", "elements", "block", "testmask") or value is None:
            continue
        assert np.array_equal(read, ALIKE.get(key, lambda v: v)(value)), (key, value, read)
    assert found.delays.tolist() == [int(d) for d in check_delays(given["delays"])]
    config.format_params(found)


PSANA = st.tuples(
    st.sampled_from(["calib", "image", "raw", "fex.calib", "x"]),
    st.dictionaries(st.sampled_from([*psana_config.OPTIONS, "src", "type", "mistyped"]), JUNK, max_size=3),
    st.lists(st.sampled_from([*psana_config.OPTIONS, "src"]), max_size=1),
)


def psana_dictionaries(case):
    """Check a `psana_config`."""
    type_, changes, lacking = case
    made = psana_config.make_psana_config("det", type_)
    config_ = {key: value for key, value in (made | changes).items() if key not in lacking}
    taken, found = outcome(partial(psana_config.check_psana_config, config_), "psana_config")
    if not taken:
        assert changes or lacking, "what make_psana_config makes is refused"
        return
    assert found is config_ and set(found) == set(made)
    for name in psana_config.CONSTANTS:
        assert isinstance(found[name], bool | str)
    for name in ("status_bits", "neighbors", "edges", "center"):
        assert type(found[name]) is int and found[name] >= 0
    assert isinstance(found["src"], str) and isinstance(found["type"], str) and isinstance(found["dbsuffix"], str)
    psana_config.asks(found)


# -- config files --------------------------------------------------------------

LINES = st.sampled_from(
    [
        "system_params = {'times': 5, 'mask': 'm.npy'}",
        "user_params = {}",
        "system_params = []",
        "user_params = None",
        "import parcorana",
        "raise SystemExit(3)",
        "raise SystemExit",
        "raise KeyboardInterrupt",
        "raise Exception('a\\nb')",
        "1/0",
        "def f(): return f()",
        "f()",
        "print('hello')",
        "import sys; sys.exit(0)",
        "exit()",
        "raise type('E', (Exception,), {'__str__': lambda s: 1/0})",
        "    indented",
        "'''",
        "(",
        "\x00",
        "\ufeff",
        "é = 1",
        "import nowhere_to_be_found",
        "raise GeneratorExit",
        "assert False, 'x' * 10000",
        "if __name__ == '__main__': raise ValueError",
        "del system_params",
        "raise __import__('parcorana').ConfigError('one\\ntwo')",
    ]
)
CONFIG_FILES = st.tuples(st.lists(LINES, max_size=6).map("\n".join), st.sampled_from(["utf-8", "latin-1", "utf-16"]))


def config_file(path, case):
    """Read a config file."""
    text, encoding = case
    data = text.encode(encoding, "replace")
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o644)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        taken, found = outcome(partial(config.read_config, path), "config", "one")
        names = {"__name__": "parcorana_config"}
        try:
            exec(compile(data, path, "exec"), names)
            right = names.get("system_params"), names.get("user_params")
        except BaseException:
            right = None, None
    assert taken == all(isinstance(part, dict) for part in right)
    assert not taken or found == right
