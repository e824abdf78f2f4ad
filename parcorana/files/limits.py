"""What this process may still take of memory: of its host, of its control groups, below its own limits."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

_STACK = 2 << 20  # of a thread where no limit says
_NO_LIMIT = 1 << 60  # what a control group without a limit says is near 2^63
_RECLAIMED = ("inactive_file", "active_file", "slab_reclaimable")  # of a group's use: given back when it is asked for
# by name of a controller in /proc/self/cgroup: where its tree is, files of limits, of use, beginning of its statistics
_TREES = {
    "": (("", "unified"), ("memory.max", "memory.high"), "memory.current", ""),
    "memory": (("memory",), ("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_"),
}


@dataclass(frozen=True)
class Room:
    """What one limit leaves.

    Attributes
    ----------
    what : str
        The limit, as an error names it.
    limit, left : int
        Bytes: in all, and what of them is not in use.
    remedy : str
        How to have more, if there is a way, as the beginning of advice, with a
        place for how many KiB would be enough.
    own : bool
        Whether it is this process's own; other limits count for all ranks of a
        host that name them.
    virtual : bool
        Whether address space counts, not only what is used of it.
    """

    what: str
    limit: int
    left: int
    remedy: str = ""
    own: bool = False
    virtual: bool = False


@dataclass(frozen=True)
class Rooms:
    """All that limits a process.

    Attributes
    ----------
    rooms : list of Room
    process : int
        Its number on its host.
    used : int
        Bytes that it has now.
    stack : int
        Bytes of addresses that each of its threads takes.
    reading : int
        Bytes that it takes later, once it reads events.
    """

    rooms: list
    process: int
    used: int
    stack: int = 0
    reading: int = 0


def rooms(root="/", reading=0):
    """Return what limits this process now.

    What cannot be read, for there is no /proc or no more file can be opened,
    limits nothing; of the host its whole memory is left then.

    Parameters
    ----------
    root : str
        Where /proc and /sys are.
    reading : int
        As `Rooms` has it.
    """
    root = Path(root)
    status = _numbers(root / "proc/self/status")
    found = [_of_host(_numbers(root / "proc/meminfo"), root), *_of_groups(root)]
    for key, name, use in ((resource.RLIMIT_AS, "ulimit -v", "VmSize"), (resource.RLIMIT_DATA, "ulimit -d", "VmData")):
        limit = resource.getrlimit(key)[0]
        if limit != resource.RLIM_INFINITY:
            left = limit - (status.get(use, 0) << 10)
            found.append(Room(f"{name} {limit >> 10}", limit, max(left, 0), "set it to {enough}, or ", True, True))
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    stack = _STACK if stack == resource.RLIM_INFINITY else stack
    return Rooms(found, os.getpid(), status.get("VmRSS", 0) << 10, stack, reading)


def available():
    """Return the bytes that this process can have now, by all limits together."""
    return min(room.left for room in rooms().rooms)


def _of_host(meminfo, root):
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    left = meminfo["MemAvailable"] << 10 if "MemAvailable" in meminfo else total
    if _text(root / "proc/sys/vm/overcommit_memory").strip() == "2":  # then what is promised counts, used or not
        left = min(left, max(meminfo.get("CommitLimit", 0) - meminfo.get("Committed_AS", 0), 0) << 10)
    return Room("the host", total, left)


def _of_groups(root):
    """Generate what the process's control groups leave, each of them and all those that it is in."""
    seen = set()
    for line in _text(root / "proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        for name in {"memory", ""} & set(controllers.split(",")):
            places, limits, use, prefix = _TREES[name]
            for place in places:
                top = root / "sys/fs/cgroup" / place
                # within a container the tree may begin at its own group, whatever the path says
                folder = top / os.path.normpath(f"/{path}").strip("/")
                for group in (folder, *folder.parents):
                    if not group.is_relative_to(top):
                        break
                    room = _of_group(group, limits, use, prefix)
                    if room is not None and group not in seen:
                        seen.add(group)
                        yield room


def _of_group(group, limits, use, prefix):
    """Return what a control group leaves, None if it limits nothing."""
    values = {name: _text(group / name).strip() for name in (*limits, use)}
    set_to = {int(values[name]): name for name in limits if values[name].isdigit()}
    least = min(set_to, default=_NO_LIMIT)
    if least >= _NO_LIMIT:
        return None
    stat = _numbers(group / "memory.stat")
    used = int(values[use]) if values[use].isdigit() else 0
    kept = max(used - sum(stat.get(prefix + name, 0) for name in _RECLAIMED), 0)
    what = f"the control group ({group / set_to[least]}: {least >> 20:,} MiB)"
    return Room(what, least, max(least - kept, 0), "ask the batch system or container for more, or ")


def _numbers(path):
    """Return the numbers of a file of lines 'name number'."""
    fields = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {words[0]: int(words[1]) for words in fields if len(words) > 1 and words[1].isdigit()}


def _text(path):
    """Return what a file of the system says, nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
