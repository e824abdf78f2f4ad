"""Input that means harm, or that no one would believe: what it is, how the command must answer.

A case is a function that writes into a folder and returns what it changes of
the config: keys of system_params, or `user`, `args`, `command`. The folder has
frames, mask and colours that are right (`conftest.Setup`).
"""

import io
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import h5py
import numpy as np
from conftest import Setup
from effort import PATIENCE

from faults.frame import Row, expect

LIMIT = 30  # s of the processor; where a library has to be given up it takes some, all else not one
SYSTEM = {"times": 20, "update": 0, "overwrite": True, "threads": 1}
CASES = {}


def case(group, *words, status=2):
    """Make a function a case: `words` must be in the one line of error."""

    def add(function):
        CASES[function.__name__] = (group, function, words, status)
        return function

    return add


def npy(path, descr="|i1", shape=(2, 5, 7), data=b"\1" * 70):
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data)
    return {"mask": path.name}


@contextmanager
def frames(folder, name="hostile.h5"):
    with h5py.File(folder / name, "w") as file:
        yield file


def endless(path):
    """Make the first text in a file one that HDF5's library, looking for it, never gets past."""
    data = bytearray(path.read_bytes())
    size = data.index(b"GCOL") + 24  # of the first object of the heap; with its header it is to be nothing
    data[size : size + 8] = struct.pack("<Q", 2**64 - 16)
    path.write_bytes(data)


STACK = {"dataset": "h5=hostile.h5", "src": "data"}
FRAMES = np.ones((30, 2, 5, 7), np.uint16)


# -- what is no file -----------------------------------------------------------


@case("odd files", "is a pipe")
def mask_pipe(folder):
    os.mkfifo(folder / "pipe.npy")
    return {"mask": "pipe.npy"}


@case("odd files", "is a device")
def mask_endless(folder):
    (folder / "zero.npy").symlink_to("/dev/zero")
    return {"mask": "zero.npy"}


@case("odd files", "is a socket")
def mask_socket(folder):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s.npy")
    return {"mask": "s.npy"}


@case("odd files", "is a folder")
def mask_folder(folder):
    (folder / "m.npy").mkdir()
    return {"mask": "m.npy"}


@case("odd files", "levels of symbolic links")
def mask_link_to_itself(folder):
    (folder / "m.npy").symlink_to("m.npy")
    return {"mask": "m.npy"}


@case("odd files", "mask: the file 'mmm", "File name too long")
def mask_long_name(folder):
    return {"mask": "m" * 5000}


@case("odd files", "null")
def mask_null_in_name(folder):
    return {"mask": "mask\0.npy"}


@case("odd files", r"the file 'no\nERROR: all is lost\x1b[2J.npy' does not exist")
def mask_name_forges_lines(folder):
    return {"mask": "no\nERROR: all is lost\x1b[2J.npy"}


@case("odd files", r"h5=no\nERROR all is lost\x1b7.h5: there is no such file")
def frames_name_forges_lines(folder):
    return {"dataset": "h5=no\nERROR all is lost\x1b7.h5"}


@case("odd files", "is a pipe")
def frames_pipe(folder):
    os.mkfifo(folder / "hostile.h5")
    return STACK


@case("odd files", "is a device")
def frames_endless(folder):
    (folder / "hostile.h5").symlink_to("/dev/zero")
    return STACK


@case("odd files", "color: the file 'pipe.npy' is a pipe")
def color_pipe(folder):
    os.mkfifo(folder / "pipe.npy")
    return {"user": {"color": "pipe.npy"}}


@case("odd files", "must be the name of a .npy file or None, not 0")
def color_standard_input(folder):
    """A number would be an open file."""
    return {"user": {"color": 0}}


@case("odd files", "config: the file 'pipe.py' is a pipe")
def config_pipe(folder):
    os.mkfifo(folder / "pipe.py")
    return {"args": ["-c", "pipe.py"]}


@case("odd files", "config: the file '/dev/zero' is a device")
def config_endless(folder):
    return {"args": ["-c", "/dev/zero"]}


@case("odd files", "is a pipe", status=2)
def xtc_pipe(folder):
    os.mkfifo(folder / "a.xtc2")
    return {"dataset": "file=a.xtc2", "src": "det"}


@case("odd files", "is a pipe")
def result_pipe(folder):
    os.mkfifo(folder / "r.h5")
    return {"command": "parCorAnaPlot", "args": ["r.h5", "-o", "a.png"]}


@case("odd files", "is a pipe")
def compared_pipe(folder):
    os.mkfifo(folder / "r.h5")
    return {"command": "cmpParCorAnaH5Output", "args": ["r.h5", "r.h5"]}


@case("odd files", "is a pipe", status=1)
def joined_pipe(folder):
    (folder / "r.h5.inprogress").mkdir()
    os.mkfifo(folder / "r.h5.inprogress" / "update_000010.h5")
    return {"args": ["--join", "r.h5.inprogress"]}


# -- .npy ----------------------------------------------------------------------


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


@case(".npy", "pickled Python objects")
def npy_pickle(folder):
    np.save(folder / "m.npy", np.array([Harm()], object), allow_pickle=True)
    return {"mask": "m.npy"}


@case(".npy", "not a readable .npy file")
def npy_plain_pickle(folder):
    import pickle

    (folder / "m.npy").write_bytes(pickle.dumps(Harm()))
    return {"mask": "m.npy"}


@case(".npy", "not a readable .npy file")
def npy_zip(folder):
    np.savez(folder / "m.npz", mask=np.ones((2, 5, 7), bool))
    (folder / "m.npz").rename(folder / "m.npy")
    return {"mask": "m.npy"}


@case(".npy", "not a readable .npy file")
def npy_zip_bomb(folder):
    with zipfile.ZipFile(folder / "m.npy", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("mask.npy", bytes(1 << 24))
    return {"mask": "m.npy"}


@case(".npy", "the file has 70 of them")
def npy_huge_shape(folder):
    return npy(folder / "m.npy", shape=(10**15,))


@case(".npy", "no array has the shape -1")
def npy_negative_shape(folder):
    return npy(folder / "m.npy", shape=(-1,))


@case(".npy", "cut off")
def npy_shape_that_overflows(folder):
    return npy(folder / "m.npy", shape=(2**32, 2**32))


@case(".npy", "more memory than there is")
def npy_hole(folder):
    """As long as it says, but of nothing: 1 TB that take no place on the disk."""
    npy(folder / "m.npy", shape=(1 << 40,))
    os.truncate(folder / "m.npy", (1 << 40) + 128)
    return {"mask": "m.npy"}


@case(".npy", "not a readable .npy file")
def npy_deep_header(folder):
    header = b"(" * 9000
    (folder / "m.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
    return {"mask": "m.npy"}


@case(".npy", "not a readable .npy file")
def npy_long_header(folder):
    (folder / "m.npy").write_bytes(b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1))
    os.truncate(folder / "m.npy", 2**32 + 99)
    return {"mask": "m.npy"}


@case(".npy", "bytes other than 0 and 1")
def npy_bool_of_more(folder):
    return npy(folder / "m.npy", "|b1", data=bytes(range(70)))


@case(".npy", "it must hold real numbers")
def npy_records(folder):
    np.save(folder / "m.npy", np.zeros((2, 5, 7), [("n" * 3000, "i4"), ("\x1b[31m", "i4")]))
    return {"mask": "m.npy"}


@case(".npy", "it must hold real numbers")
def npy_complex(folder):
    np.save(folder / "m.npy", np.ones((2, 5, 7), complex))
    return {"mask": "m.npy"}


@case(".npy", "which is too large for a colour")
def color_of_uint64(folder):
    np.save(folder / "c.npy", np.full((2, 5, 7), 2**64 - 1, np.uint64))
    return {"user": {"color": "c.npy"}}


# -- HDF5 ----------------------------------------------------------------------


def secret(folder):
    """A file that the maker of another one would like to have read."""
    (folder.parent / f"{folder.name}_away").mkdir()
    path = folder.parent / f"{folder.name}_away" / "secret.h5"
    with h5py.File(path, "w") as file:
        file["data"] = FRAMES
        file["counter"] = np.arange(30)
        file["frame_time"] = 0.5
    return str(path)


@case("HDF5", "is a link to", "only in a folder that you trust")
def frames_by_external_link(folder):
    with frames(folder) as file:
        file["data"] = h5py.ExternalLink(secret(folder), "data")
    return STACK


@case("HDF5", "is a link to", "only in a folder that you trust")
def times_by_external_link(folder):
    with frames(folder) as file:
        file["data"] = FRAMES
        file["counter"] = h5py.ExternalLink(secret(folder), "counter")
    return STACK


@case("HDF5", "only in a folder that you trust")
def link_out_of_the_trusted_folder(folder):
    """By way of a trusted file."""
    (folder / "in").mkdir()
    with frames(folder, "in/part.h5") as file:
        file["data"] = h5py.ExternalLink(secret(folder), "data")
    with frames(folder) as file:
        file["data"] = h5py.ExternalLink("in/part.h5", "data")
    return STACK | {"dataset": f"h5=hostile.h5:dir={folder}/in"}


@case("HDF5", "external storage")
def frames_in_external_storage(folder):
    with frames(folder) as file:
        file.create_dataset("data", FRAMES.shape, "u1", external=[("/etc/passwd", 0, 10**6)])
    return STACK


@case("HDF5", "counter: its values are in external storage")
def times_in_external_storage(folder):
    with frames(folder) as file:
        file["data"] = FRAMES
        file.create_dataset("counter", (30,), "i8", external=[("/etc/passwd", 0, 240)])
    return STACK


@case("HDF5", "virtual dataset, made of")
def frames_of_virtual_parts(folder):
    layout = h5py.VirtualLayout(FRAMES.shape, "u2")
    layout[:] = h5py.VirtualSource(secret(folder), "data", FRAMES.shape)
    with frames(folder) as file:
        file.create_virtual_dataset("data", layout)
    return STACK


@case("HDF5", "counter: it is a virtual dataset, made of")
def times_of_virtual_parts(folder):
    layout = h5py.VirtualLayout((30,), "i8")
    layout[:] = h5py.VirtualSource(secret(folder), "counter", (30,))
    with frames(folder) as file:
        file["data"] = FRAMES
        file.create_virtual_dataset("counter", layout)
    return STACK


def _endless(file, path, name, shape):
    """Write a virtual dataset that is as long as what a name leads to: HDF5 opens that to see how long."""
    space = h5py.h5s.create_simple((0, *shape), (h5py.h5s.UNLIMITED, *shape))
    ones, more = (1,) * (1 + len(shape)), (h5py.h5s.UNLIMITED, *(1,) * len(shape))
    space.select_hyperslab((0,) * (1 + len(shape)), more, stride=ones, block=(1, *shape))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_virtual(space, name.encode(), b"x", space)
    h5py.h5d.create(file.id, path, h5py.h5t.NATIVE_INT64, space, plist)


@case("HDF5", "src=data: it is a virtual dataset, made of", "pipe.h5: this is a pipe")
def frames_as_long_as_a_pipe(folder):
    os.mkfifo(folder / "pipe.h5")
    with frames(folder) as file:
        _endless(file, b"data", "pipe.h5", (2, 5, 7))
    return STACK


@case("HDF5", "/counter: it is a virtual dataset, made of", "pipe.h5: this is a pipe")
def times_as_long_as_a_pipe(folder):
    os.mkfifo(folder / "pipe.h5")
    with frames(folder) as file:
        file["data"] = FRAMES
        _endless(file, b"counter", "pipe.h5", ())
    return STACK


@case("HDF5", "src=dat: there is no such dataset", "the file has data (0x2x5x7 int64)")
def a_list_of_what_is_as_long_as_a_pipe(folder):
    os.mkfifo(folder / "pipe.h5")
    with frames(folder) as file:
        _endless(file, b"data", "pipe.h5", (2, 5, 7))
    return STACK | {"src": "dat"}


@case("HDF5", "is mapped in another order than frame by frame")
def frames_mapped_in_another_order(folder):
    layout = h5py.VirtualLayout((30, 2, 5, 7), "u2")
    layout[:] = h5py.VirtualSource(".", "other", (7, 30, 2, 5))
    with frames(folder) as file:
        file["other"] = np.ones((7, 30, 2, 5), "u2")
        file.create_virtual_dataset("data", layout)
    return STACK


@case("HDF5", "more than 8 virtual datasets")
def virtual_of_itself(folder):
    layout = h5py.VirtualLayout(FRAMES.shape, "u2")
    layout[:] = h5py.VirtualSource(".", "data", FRAMES.shape)
    with frames(folder) as file:
        file.create_virtual_dataset("data", layout)
    return STACK


@case("HDF5", "more than 8 links")
def links_in_a_circle(folder):
    with frames(folder) as file:
        file["data"], file["other"] = h5py.SoftLink("/other"), h5py.SoftLink("/data")
    return STACK


@case("HDF5", "links, one after the other, or 1000 in all")
def links_that_multiply(folder):
    """Each leads 100 times through the one before: 100^8 steps."""
    with frames(folder) as file:
        file["l0"] = h5py.SoftLink("/")
        for k in range(1, 8):
            file[f"l{k}"] = h5py.SoftLink("/" + f"l{k - 1}/" * 100)
        file["data"] = h5py.SoftLink("/l7")
    return STACK


@case("HDF5", "a frame takes")
def frame_larger_than_memory(folder):
    with frames(folder) as file:
        file.create_dataset("data", (3, 2**32, 2**31), "u2", chunks=(1, 8, 8))
    return STACK


@case("HDF5", "a chunk takes")
def chunk_larger_than_memory(folder):
    """One that says it is 3.5 TB: HDF5 unpacks chunks as a whole."""
    with frames(folder) as file:
        file.create_dataset(
            "data", (1, 2, 5, 7), "u2", maxshape=(None, 2, 5, 7), chunks=(25 * 10**9, 2, 5, 7), compression="gzip"
        )
    return STACK


@case("HDF5", "more than 2,147,483,648")
def more_frames_than_there_are(folder):
    with frames(folder) as file:
        file.create_dataset("data", (2**40, 2, 5, 7), "u2", chunks=(1, 2, 5, 7))
    return STACK


@case("HDF5", "times are more than the memory holds")
def times_larger_than_memory(folder):
    with frames(folder) as file:
        file.create_dataset("data", (2**31, 2, 5, 7), "u2", chunks=(1, 2, 5, 7))
        file.create_dataset("counter", (2**31,), "i8", chunks=(1000,))
    return STACK


@case("HDF5", "filter 32767")
def filter_that_nobody_has(folder):
    with frames(folder) as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1, 2, 5, 7))
        plist.set_filter(32767, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple(FRAMES.shape)
        h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_UINT16, space, plist)
    return STACK


def _typed(name, make):
    @case("HDF5", "must be an integer or a float")
    def typed(folder):
        with frames(folder) as file:
            file.create_dataset("data", FRAMES.shape, make())
        return STACK

    CASES[f"frames_of_{name}"] = CASES.pop("typed")


for _name, _make in {
    "strings": h5py.string_dtype,
    "lengths": lambda: h5py.vlen_dtype("i4"),
    "references": lambda: h5py.ref_dtype,
    "records": lambda: np.dtype([("\x1b[31m", "i4"), ("n" * 3000, "i4")]),
    "complex": lambda: np.dtype(complex),
    "arrays": lambda: np.dtype(("i4", (2,))),
}.items():
    _typed(_name, _make)


def _timed(name, key, values, *words, status=2):
    @case("HDF5", key, *words, status=status)
    def timed(folder):
        with frames(folder) as file:
            file["data"], file[key] = FRAMES, values
        return STACK

    CASES[name] = CASES.pop("timed")


_timed("times_not_a_number", "timestamp", np.full(30, np.nan), "is nan at index 0")
_timed("times_infinite", "timestamp", np.full(30, np.inf), "is inf at index 0")
_timed("times_beyond_int64", "timestamp", np.full(30, 2**64 - 1, np.uint64), "must be near those of the other")
_timed("counter_beyond_int64", "counter", np.full(30, 2**64 - 1, np.uint64), "must be near those of the other")
_timed("times_of_records", "counter", np.zeros(30, "i4,i4"), "must be an integer")
_timed("times_of_strings", "timestamp", np.zeros(30, "S8"), "must be float64")
APART = np.where(np.arange(30) % 2, 2**63 - 1, -(2**63))
_timed("times_apart_by_all_of_int64", "counter", APART, "must be near those of the other", "so it is with 15 of 30")


@case("HDF5", r"did you mean 'da\x1b[31m\nta'")
def names_that_forge_lines(folder):
    with frames(folder) as file:
        file["da\x1b[31m\nta"] = FRAMES
    return STACK


@case("HDF5", "there is no such dataset")
def very_many_names(folder):
    with frames(folder) as file:
        for k in range(3000):
            file[f"{'n' * 200}{k}"] = h5py.SoftLink("/x")
    return STACK


@case("HDF5", "src=entry: HDF5's library found no end")
def nexus_text_without_end(folder):
    with frames(folder) as file:
        file["entry/data"] = FRAMES
        file["entry"].attrs["signal"] = "data"
    endless(folder / "hostile.h5")
    return STACK | {"src": "entry"}


def _followed(write):
    def followed(folder):
        change = write(folder)
        return change | {"dataset": f"{change['dataset']}:live"}

    return followed


# The same files, as if another program still wrote them: times are looked at as they come, and are bad events.
LOOKED_AT_LATER = ("times_larger", "times_not", "times_infinite", "times_beyond", "counter_beyond", "times_apart")
for _name, (_group, _write, _words, _status) in list(CASES.items()):
    if _group == "HDF5" and "without_end" not in _name and not _name.startswith(LOOKED_AT_LATER):
        CASES[f"live_{_name}"] = "HDF5 files that are followed", _followed(_write), _words, _status


# -- results -------------------------------------------------------------------


def hostile_result(folder, change):
    with h5py.File(folder / "r.h5", "w") as file:
        system, group = file.create_group("system"), file.create_group("user/G2_results_at_000030")
        system["system_params"], system["mask"] = "{}", np.ones((2, 5, 7), np.int8)
        system.attrs["ended_by"] = "end of data"
        system.create_group("accounting").attrs.update(
            dict.fromkeys(("read", "processed", "filtered", "no_data", "duplicate", "late", "bad", "unused"), 0)
        )
        group["delays"], group["delay_counts"], group["saturated"] = [1, 2], [9, 8], np.zeros((2, 5, 7), np.int8)
        group["delays"].attrs["rate"] = 120.0
        for name in ("delay_curve_color", "delay_curve_err_color", "elements_color", "elements_left_out_color"):
            group[f"{name}_1"] = np.ones(2)
        change(file, system, group)
    return {"command": "parCorAnaPlot", "args": ["r.h5", "-o", "a.png"]}


def _result(name, change, *words):
    @case("results", "r.h5", *words)
    def made(folder):
        return hostile_result(folder, change)

    CASES[f"result_{name}"] = CASES.pop("made")


def _replace(path, value):
    def change(file, system, group):
        where = system if path in system else group
        del where[path]
        where[path] = value

    return change


def _storage(file, system, group):
    group.create_dataset("more", (9,), "u1", external=[("/etc/passwd", 0, 9)])


def _huge(file, system, group):
    group.create_dataset("more", (2**40,), "f8", chunks=(1,))


_result("link_into_another_file", _replace("delays", h5py.ExternalLink("/etc/x.h5", "x")), "leads into another file")
_result("values_in_another_file", _storage, "in another file")
_result("larger_than_memory", _huge, "more memory than there is")
_result("not_json", _replace("system_params", "{"), "system_params")
_result("bytes_for_json", _replace("system_params", np.void(b"\xff\xfe")), "not a readable result file")
_result("json_list", _replace("system_params", "[]"), "must be a dictionary")
_result("curve_of_another_length", _replace("delay_curve_color_1", np.ones(9)), "delay_curve_color_1")
_result("counts_of_another_length", _replace("delay_counts", np.ones(9)), "delay_counts")
_result("delays_of_strings", _replace("delays", np.zeros(2, "S2")), "readable")
_result("curve_is_a_group", lambda f, s, g: (g.pop("elements_color_1"), g.create_group("elements_color_1")), "readable")
_result("accounting_gone", lambda f, s, g: s.pop("accounting"), "not a readable result file")
_result("link_to_itself", _replace("saturated", h5py.SoftLink("/user/G2_results_at_000030/saturated")), "readable")


def _without_end(command, args):
    @case("results", "r.h5", "HDF5's library found no end")
    def made(folder):
        hostile_result(folder, lambda f, s, g: None)
        endless(folder / "r.h5")
        return {"command": command, "args": args}

    CASES[f"result_without_end_{command}"] = CASES.pop("made")


_without_end("parCorAnaPlot", ["r.h5", "-o", "a.png"])
_without_end("cmpParCorAnaH5Output", ["r.h5", "r.h5"])


@case("results", "update_000030.h5", "HDF5's library found no end", "what was published stays", status=1)
def update_without_end(folder):
    hostile_result(folder, lambda f, s, g: None)
    endless(folder / "r.h5")
    (folder / "j.h5.inprogress").mkdir()
    (folder / "r.h5").rename(folder / "j.h5.inprogress/update_000030.h5")
    return {"args": ["--join", "j.h5.inprogress"]}


# -- config files --------------------------------------------------------------


def _config(name, text, *words):
    @case("config files", *words)
    def made(folder):
        (folder / "c.py").write_text(text, encoding="utf-8")
        return {"args": ["-c", "c.py"]}

    CASES[f"config_{name}"] = CASES.pop("made")


_config("leaves", "import sys\nsys.exit(0)\n", "c.py, line 2: SystemExit: 0")
_config("raises_system_exit", "raise SystemExit\n", "c.py, line 1: SystemExit")
_config("raises_interrupt", "raise KeyboardInterrupt\n", "c.py, line 1: KeyboardInterrupt")
_config("calls_itself", "def f():\n    f()\nf()\n", "RecursionError")
_config("raises_lines", "raise ValueError('a\\nERROR: b\\x1b[2J')\n", r"ValueError: a ERROR: b\x1b[2J")
_config(
    "raises_mute",
    "class E(Exception):\n    def __str__(self):\n        1/0\nraise E\n",
    "line 4: E: its text cannot be made",
)
_config("deep", "x = " + "(" * 500 + "\n", "SyntaxError")
_config("null", "x = '\0'\n", "null")
_config("binary", "\udc80".encode("utf-8", "surrogatepass").decode("latin-1"), "c.py")
_config("no_dictionary", "system_params = user_params = print\n", "it must define the dictionary system_params")
_config("key_of_no_name", "system_params = {(1, 'a\\n'): 2}\nuser_params = {}\n", "unknown key")


@case("config files", "everybody may write to", "--trust-config")
def config_of_everybody(folder):
    (folder / "config.py").chmod(0o666)
    return {"written": True}


# -- how they are run ----------------------------------------------------------


def run(name, setup, commands):
    """Write a case into the folder of a `conftest.Setup`, run its command in this process; return its exit status."""
    _, write, _, _ = CASES[name]
    before = os.getcwd()
    os.chdir(setup.folder)
    old = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(PATIENCE)
    try:
        written = setup.write() if name == "config_of_everybody" else None
        change = dict(write(setup.folder))
        args, command = change.pop("args", None), change.pop("command", "parCorAnaDriver")
        user = change.pop("user", None)
        change.pop("written", None)
        if written is None:
            setup.write(user=user, **SYSTEM | change)
        return commands[command](args or ["-c", "config.py"])
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        os.chdir(before)


def _too_long(*_):
    raise TimeoutError(f"it takes more than {PATIENCE} s")


def check(name, status, said, seconds, folder):
    """Return what is wrong with an answer, None if nothing is."""
    _, _, words, right = CASES[name]
    lines = [line for line in said.splitlines() if line.startswith(("parCorAna", "cmpParCorAna"))]
    if status != right:
        return f"exit status {status}, not {right}: {said}"
    if len(lines) != 1 or not lines[0].isprintable() or "Traceback" in said:
        return f"not one line: {said!r}"
    missing = [word for word in words if word not in lines[0]]
    if missing:
        return f"lacks {missing}: {lines[0]}"
    if (folder / "harmed").exists():
        return "it ran what was in the file"
    if seconds > LIMIT:
        return f"it took {seconds:.0f} s of the processor"
    return None


def commands():
    """Return the commands by name."""
    from parcorana.tools import compare, driver, plot

    return {"parCorAnaDriver": driver.main, "parCorAnaPlot": plot.main, "cmpParCorAnaH5Output": compare.main}


def timed(name, setup):
    """Run a case; return its exit status and the seconds of the processor that it took, with those of its children."""
    begin = _used()
    return run(name, setup, commands()), _used() - begin


def _used():
    who = (resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in who)


def of_group(group):
    """Return a row's function: all cases of a group, in a process of its own."""

    def provoke(trial):
        trial.compares = False
        run = subprocess.run(
            ["timeout", "-k", "5", str(PATIENCE), sys.executable, "-m", "faults.hostile", group],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )
        expect(run.returncode == 0, run.stdout + run.stderr)
        trial.count(len(run.stdout.splitlines()))

    return provoke


def main(group):
    """Run a group's cases; print their names. Exits with 1 if an answer is not as it should be."""
    wrong = []
    for name in (name for name, case in CASES.items() if case[0] == group):
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder, "here")
            here.mkdir()
            with redirect_stderr(io.StringIO()) as said, redirect_stdout(io.StringIO()):
                status, seconds = timed(name, Setup(here))
            fault = check(name, status, said.getvalue(), seconds, here)
        print(name)
        if fault:
            wrong.append(f"{name}: {fault}")
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


TITLE = "Hostile input: refused in one sentence that names it, exit status 2 (1 where a run had begun)"
ROWS = [
    Row(f"{group}, {sum(case[0] == group for case in CASES.values())} kinds", of_group(group))
    for group in dict.fromkeys(case[0] for case in CASES.values())
]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
