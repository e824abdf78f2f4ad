"""HDF5 files, as programs write them and as they never should be, and what must become of each.

Every file is read in a child process of its own: damage may crash the HDF5
library itself, which then is counted, and must not go on for ever or take all memory.
"""

import os
import resource
import signal
import sys
import traceback
import warnings
from contextlib import redirect_stdout
from io import StringIO
from itertools import chain
from pathlib import Path

import h5py
import numpy as np
from effort import PATIENCE

from faults import parsers
from parcorana.errors import ConfigError
from parcorana.events.dataset import parse_dataset
from parcorana.events.hdf5.times import to_int64
from parcorana.events.open import open_source
from parcorana.events.protocol import Share
from parcorana.files import plain
from parcorana.results import reading as results
from parcorana.results.join import join
from parcorana.tools import compare

SECONDS = 60  # of the processor: what the program gives up after some may be read several times
MEMORY = 1 << 30
FRAMES = np.arange(11 * 3 * 4, dtype=np.uint16).reshape(11, 3, 4) * 37 % 1009


def in_child(action, *args):
    """Run an action in a child process; return 'read', 'refused', 'crashed' or what went wrong."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.close(reader)
        # their default action ends the process even inside the library
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(PATIENCE)
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            said = action(*args)
        except BaseException:
            said = traceback.format_exc()
        os.write(writer, said.encode(errors="replace")[-4000:])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    _, status, usage = os.wait4(pid, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        late = {signal.SIGPROF: f"{SECONDS} s of the processor", signal.SIGALRM: f"{PATIENCE} s"}
        return f"it went on for more than {late[number]}" if number in late else "crashed"
    if usage.ru_maxrss << 10 > MEMORY:
        return f"it took {usage.ru_maxrss >> 10} MiB ({said})"
    return said or "nothing was said"


# -- frames --------------------------------------------------------------------


def dataset_at(file, src):
    """Return the dataset at a path, or the one that the attributes of a NeXus group there name.

    Without a path, it is what those of the file itself name, else its only frames of two axes and more.
    """
    item = file[src or "/"]
    for attribute in ("default", "default", "signal"):
        name = item.attrs.get(attribute) if isinstance(item, h5py.Group) else None
        name = name.decode() if isinstance(name, bytes) else name
        if isinstance(name, str) and name in item:
            item = item[name]
    if src or isinstance(item, h5py.Dataset):
        return item
    stacks = []
    file.visititems(
        lambda _, each: (
            stacks.append(each)
            if isinstance(each, h5py.Dataset) and each.ndim > 2 and each.dtype.kind in "iuf"
            else None
        )
    )
    (only,) = stacks
    return only


def read_stack(path, src, folder=None):
    """Open a file as `h5=` does, read all, and compare with what h5py gives."""
    warnings.simplefilter("error")
    text = f"h5={path}" + (f":dir={folder}" if folder else "")
    try:
        source = open_source(parse_dataset(text), src=src, share=Share(block=4), log=print)
    except ConfigError as error:
        parsers.one_sentence(error, os.path.basename(path))
        return "refused"
    bad = 0
    with h5py.File(path, "r") as file:
        right = dataset_at(file, src)
        stamps, place = np.arange(len(right)), source._stacks[0].times.path
        if source._stacks[0].times.dataset is not None:
            try:
                stamps, good = to_int64(file[place][()], source.stamps == "ns")
            except OSError:
                raise AssertionError("its times cannot be read by h5py") from None
            assert good.all()
        assert source.total == len(right)
        # what a damaged length makes very long is looked at in its first frames
        for k, event in enumerate(chain.from_iterable(source.blocks())):
            if k == 100:
                break
            assert event.stamp == stamps[k]
            try:
                frame = event.data().copy()
            except OSError:
                bad += 1
                continue
            parsers.equal(frame, right[k].astype(source.dtype))
    source.close()
    return "bad events" if bad else "read"


# names that others may give to what is in a file
NAMES = ["data", "frames", "a b", "\x1b[31mred", "two\nlines", "n" * 3000, "é", "...", "counter", "timestamp"]


def build_stack(random, folder):
    """Write a file of any kind; return path, src and trusted folder, and whether it must be read."""
    path, group = folder / "stack.h5", random.choice(["", "run/", "entry/data/", "a/b/c/"])
    name = random.choice(["data", "frames"] * 8 + NAMES)
    src, n = f"{group}{name}", random.choice([0, 1, 11, 11, 11, 11])
    trusted, right = None, True
    dtype = np.dtype(random.choice(["u2", ">i4", "f4", "f8", "u1", "i8"] * 4 + ["?", "S3", "c8", "u2,f4", "V5"]))
    shape = random.choice([(3, 4), (12,), (2, 1, 3, 2), (1,)] * 4 + [(), (0, 3)])
    right = right and dtype.kind in "iuf" and shape and 0 not in shape and "\n" not in name
    frames = np.zeros((n, *shape), dtype)
    if dtype.kind in "iuf" and frames.size:
        frames.flat = np.arange(frames.size) % 251
    more = random.choice(
        [
            {},
            {},
            {"chunks": True},
            {"chunks": True, "compression": "gzip"},
            {"chunks": True, "compression": "lzf"},
            {"chunks": True, "fletcher32": True, "shuffle": True},
        ]
    )
    if not frames.size:
        more = {}
    layout = random.choice(
        ["plain"] * 9 + ["virtual", "link", "soft", "external", "loop", "empty", "huge", "elsewhere"]
    )
    with h5py.File(path, "w", libver=random.choice(["earliest", "latest"])) as file:
        if layout in ("virtual", "link", "elsewhere") and frames.size and dtype.kind in "iuf":
            (folder / "in").mkdir(exist_ok=True)
            part = folder / "in" / "part.h5"
            with h5py.File(part, "w") as other:
                other["x"] = frames
                if layout == "elsewhere":
                    other["y"] = h5py.ExternalLink(str(folder / "away.h5"), "x")
            with h5py.File(folder / "away.h5", "w") as other:
                other["x"] = frames
            trusted = random.choice([None, folder / "in", folder])
            right = right and trusted is not None
            if layout == "virtual":
                virtual = h5py.VirtualLayout(frames.shape, frames.dtype)
                virtual[:] = h5py.VirtualSource("in/part.h5", "x", frames.shape)
                file.create_virtual_dataset(src, virtual)
            else:
                file[src] = h5py.ExternalLink("in/part.h5", "y" if layout == "elsewhere" else "x")
                right = right and (layout == "link" or trusted == folder)
        elif layout == "soft":
            file.create_dataset("real", data=frames, **more)
            file[src] = h5py.SoftLink("/real")
        elif layout == "loop":
            file[src] = h5py.SoftLink("/" + src)
            right = False
        elif layout == "external" and frames.size and dtype.kind in "iuf":
            file.create_dataset(src, data=frames, external=[(str(folder / "raw.bin"), 0, h5py.h5f.UNLIMITED)])
            right = False
        elif layout == "huge":
            size = random.choice([(2**40, 3, 4), (2, 2**31, 2**31), (2**31 + 1, 2), (3, 2**20, 2**18)])
            file.create_dataset(
                src, size, "u2", chunks=random.choice([(1,) * len(size), None, None]) or (1, *[2] * (len(size) - 1))
            )
            right = False
        elif layout == "empty":
            file[src] = h5py.Empty("f4")
            right = False
        else:
            file.create_dataset(src, data=frames, **more)
        right = _add_times(random, file, group, n, name) and right
        if random.random() < 0.2:
            file.attrs.update(
                {
                    random.choice(["default", "signal"]): random.choice(
                        ["entry", src, b"\xff", 5, np.zeros(3), "x" * 999]
                    )
                }
            )
        if random.random() < 0.05:
            src = random.choice(["", "/", ".", "..", "nothing", src + "/x", group or "/", "//" + src, "\x00", "\ud800"])
            right = False
    return str(path), src, trusted and str(trusted), bool(right)


def _add_times(random, file, group, n, name):
    key = random.choice([None] * 4 + ["counter", "timestamp"] * 2 + ["event_time"])
    if key is None or key == name or name in ("counter", "timestamp"):
        return False if name in ("counter", "timestamp") else key is None
    values = random.choice(
        [
            *[np.arange(n), np.arange(n)[::-1] * 10**6, np.arange(n) / 120] * 4,
            np.full(n, np.nan),
            np.full(n, 2**64 - 1, np.uint64),
            -np.arange(n),
            np.full(n, -(2**63)),
            np.arange(n + 1),
            np.zeros((n, 1)),
            np.zeros(n, "S4"),
            np.full(n, 1e300),
            np.arange(n).astype("f4"),
            ((1_100_000_000 + np.arange(n)) << 32).astype("u8"),
            h5py.Empty("f8"),
            5,
            np.zeros(n, "u1,u1"),
            np.arange(n).astype("u1"),
        ]
    )
    place = (group if key != "event_time" else "") + key
    kind = random.choice(["own"] * 5 + ["external", "link", "group"])
    if kind == "external" and isinstance(values, np.ndarray) and values.size and values.dtype.kind in "iuf":
        file.create_dataset(place, data=values, external=[(f"{file.filename}.raw", 0, h5py.h5f.UNLIMITED)])
        return False
    if kind == "link":
        file[place] = h5py.ExternalLink("/etc/hostname", "x")
        return False
    if kind == "group":
        file.create_group(place)
        return False
    file[place] = values
    return False  # whether such times are right, parsers.times tells


def stack(random, folder):
    """One file of any kind, built with h5py; perhaps damaged."""
    for old in sorted(folder.rglob("*"), reverse=True):
        old.rmdir() if old.is_dir() else old.unlink()
    path, src, trusted, right = build_stack(random, folder)
    damages = random.random() < 0.5
    if damages:
        data = Path(path).read_bytes()
        Path(path).write_bytes(parsers.damaged(data, random, 4))
    said = in_child(read_stack, path, src, trusted)
    assert said in ("read", "refused", "bad events") or (said == "crashed" and damages), said
    assert not right or damages or said == "read", f"refused, though it is right: {src}"
    return said


# -- results -------------------------------------------------------------------


def read_result(path, whole, folder):
    """Read a result file as the tools do: draw from it, compare it, join it."""
    warnings.simplefilter("error")
    said = set()
    name = os.path.basename(path)

    def outcome(read):
        taken, found = parsers.outcome(read, name, "joined")
        said.add("read" if taken else "refused")
        return found

    def read():
        with plain.plain_file(path) as file:
            return results.read_result(file, name)

    found = outcome(read)
    if found is not None:
        with h5py.File(path) as file:
            group = file[f"user/G2_results_at_{found.processed:06d}"]
            parsers.equal(found.delays, group["delays"][()])
            parsers.equal(found.mask, file["system/mask"][()])
    lines = outcome(lambda: compare.compare(path, whole))
    outcome(lambda: compare.compare(path, path)) if lines is not None else None
    with redirect_stdout(StringIO()) as printed:
        compare.main([path, whole])
    assert all(line.isprintable() for line in printed.getvalue().splitlines())
    run = folder / "joined.h5.inprogress"
    run.mkdir()
    for target in ("update_000001.h5", "update_000002.h5"):
        (run / target).write_bytes(Path(path if "2" in target else whole).read_bytes())
    if outcome(lambda: join(run)) is None:
        assert len({path.name for path in run.iterdir()} - {".writer"}) == 2, "join has not left what was published"
    else:
        with h5py.File(folder / "joined.h5") as file:
            assert "user" in file and "system" in file
    return "read" if said == {"read"} else "refused"


def change_result(random, path):
    """Change something in a result file by h5py."""
    with h5py.File(path, "r+") as file:
        names = []
        file.visit(names.append)
        for _ in range(random.randint(1, 3)):
            name = random.choice(names)
            if name not in file:
                continue
            value = random.choice(
                [
                    None,
                    5,
                    np.nan,
                    np.zeros(3),
                    np.zeros((0, 2)),
                    np.zeros(2, "S3"),
                    "text",
                    b"\xff",
                    np.zeros(2, "u1,f4"),
                    h5py.Empty("f4"),
                    h5py.ExternalLink("/etc/passwd", "x"),
                    h5py.SoftLink("/nothing"),
                    h5py.SoftLink("/" + name),
                    {},
                    "huge",
                    "named",
                    1j,
                ]
            )
            if random.random() < 0.3:
                keys = list(file[name].attrs)
                if keys:
                    file[name].attrs[random.choice(keys)] = value if isinstance(value, str | int | np.ndarray) else "x"
                continue
            del file[name]
            if value is None:
                continue
            if isinstance(value, dict):
                file.create_group(name)
            elif isinstance(value, str) and value == "huge":
                file.create_dataset(name, (2**40, 4), "f4", chunks=(1, 4))
            elif isinstance(value, str) and value == "named":
                file[f"{name}\x1b[31m\n{name}"] = 5
            else:
                file[name] = value


def result(random, folder, whole):
    """One result file, changed by h5py or damaged."""
    for old in sorted(folder.rglob("*"), reverse=True):
        old.rmdir() if old.is_dir() else old.unlink()
    path = folder / "result.h5"
    data = Path(whole).read_bytes()
    damages = random.random() < 0.5
    path.write_bytes(parsers.damaged(data, random, 4) if damages else data)
    if not damages:
        change_result(random, path)
    said = in_child(read_result, str(path), str(whole), folder)
    assert said in ("read", "refused") or (said == "crashed" and damages), said
    return said
