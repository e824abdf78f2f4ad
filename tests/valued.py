"""Calculations and whole runs that look at the values of events."""

import math
from types import SimpleNamespace

import h5py
import numpy as np

from parcorana import BlockBase, Summed


def is_inside(value, limits):
    low, high = limits
    return not math.isnan(value) and not (low is not None and value < low) and not (high is not None and value > high)


class Seen(BlockBase):
    """Keeps what entered; looks at the values of stored events row by row."""

    buffer = "C"
    uses = ("mean",)

    def arrays(self, elements):
        self.entered, self.of_counter, self.events = [], {}, np.zeros(1, np.int64)
        return {"events": Summed(self.events)}

    def enter(self, block):
        names = list(block.values)
        assert names == list(block.buffer.values)
        for k, counter in enumerate(block.counters.tolist()):
            row = tuple(block.values[name][k] for name in names)
            self.entered.append((counter, *row))
            self.of_counter[counter] = row, block.data[k].copy()
        buffer = block.buffer
        for row, counter in enumerate(buffer.T[: buffer.filled].tolist()):
            right, data = self.of_counter[counter]
            np.testing.assert_array_equal(buffer.X[row], data)
            np.testing.assert_array_equal([buffer.values[name][row] for name in names], right)
        assert all(np.isnan(column[buffer.filled :]).all() for column in buffer.values.values())

    def end_run(self, buffer):
        self.of_counter = {}

    def publish(self, update, group):
        pass


MONITOR = """
import numpy as np
from parcorana import BlockBase, Common, PerElement


class Monitor(BlockBase):
    '''Intensity weighted by a value; what is stored at the end.'''

    buffer = "C"
    uses = ("mean",)

    def arrays(self, elements):
        self.weighted, self.plain = np.zeros((2, elements))
        self.stored = np.zeros((2, self.system_params["times"]))
        self.entered = np.zeros((1000, 3))
        self.number = np.zeros(1, np.int64)
        return {
            "weighted": PerElement(self.weighted),
            "plain": PerElement(self.plain),
            "stored": Common(self.stored),
            "entered": Common(self.entered),
            "number": Common(self.number),
        }

    def enter(self, block):
        name = next(iter(block.values))
        for k, counter in enumerate(block.counters):
            self.weighted += block.data[k] * block.values[name][k]
            self.plain += block.data[k]
            self.entered[self.number[0]] = counter, block.values[name][k], block.values["mean"][k]
            self.number += 1
        order = np.argsort(block.buffer.T[: block.buffer.filled])
        self.stored[:] = np.nan
        self.stored[0, : len(order)] = block.buffer.T[order]
        self.stored[1, : len(order)] = block.buffer.values[name][order]

    def publish(self, update, group):
        if group is not None:
            here = group.create_group(f"monitor_at_{update.processed:06d}")
            for name, array in update.items():
                here[name] = array

    def calcAndPublishForTestAlt(self, counters, data, h5UserGroup):
        here = h5UserGroup.create_group(f"monitor_at_{len(counters):06d}")
        here["number"] = np.array([len(counters)])
        total = np.zeros(self.mpiParams.mask.shape)
        total[self.mpiParams.mask] = data.sum(axis=0)
        here["plain"] = total
"""


def write_monitor(setup, **system):
    (setup.folder / "monitor.py").write_text(MONITOR, encoding="utf-8")
    setup.write("Monitor", user={}, **{"update": 0, "delays": [1]} | system)
    path = setup.folder / "config.py"
    text = path.read_text(encoding="utf-8").replace("from parcorana import userg2", "import monitor as userg2")
    path.write_text(text, encoding="utf-8")


def drive(setup, *args, ranks=0, env=None):
    run = setup.drive("-o", *args, ranks=ranks, env=env)
    assert run.returncode == 0, run.stderr
    with h5py.File(setup.folder / args[0]) as file:
        system, group = file["system"], file["user"][sorted(file["user"])[-1]]
        number = int(group["number"][0])
        return SimpleNamespace(
            log=run.stderr,
            account={name: int(count) for name, count in system["accounting"].attrs.items()},
            filtered_by={name: int(count) for name, count in system["select"].attrs.items()}
            if "select" in system
            else {},
            limits={name: limits[()].tolist() for name, limits in system["select"].items()}
            if "select" in system
            else {},
            entered=group["entered"][:number],
            stored=group["stored"][()],
            weighted=group["weighted"][()],
        )


def check_run(setup, run, frames, column, select, name):
    """Compare with plain loops; return which frames entered."""
    included = frames[:, setup.mask.astype(bool)]
    means = included.sum(axis=1, dtype=float) / included.shape[1]
    entered, counts = [], dict.fromkeys(select, 0)
    for k in range(len(frames)):
        values = {name: column[k], "mean": means[k]}
        out = sorted((n for n in select if not is_inside(values[n], select[n])), key=lambda n: n == "mean")
        if out:
            counts[out[0]] += 1
        else:
            entered.append(k)
    assert run.filtered_by == counts and run.account["filtered"] == sum(counts.values())
    assert run.account["processed"] == len(entered) and run.account["read"] == len(frames)
    np.testing.assert_array_equal(run.entered[:, 1:], np.stack([column, means], axis=1)[entered])
    right = (frames[entered] * column[entered][:, None, None, None]).sum(axis=0) * setup.mask
    np.testing.assert_allclose(run.weighted, right, rtol=1e-12)
    return entered
