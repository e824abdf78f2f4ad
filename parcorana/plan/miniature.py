"""A job in miniature: the config without what leaves traces, a few elements, and blocks of events made of a few."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from parcorana import _move
from parcorana.calculation.base import BlockBase
from parcorana.calculation.guard import is_ours
from parcorana.job.config import Config
from parcorana.job.partition import Roles
from parcorana.pipeline.block import END, EVENTS, READ, TYPE, BlockBuffer, of_header, wire_dtype
from parcorana.pipeline.clock import Clock
from parcorana.pipeline.job import Job
from parcorana.pipeline.transport import TAG_BLOCK, TAG_DATA, LocalNetwork

VIEWER, SERVER, WORKER = range(3)
_QUIET = {
    "picture": None,
    "plot_colors": None,
    "export": False,
}  # of `user_params`: what writes files beside the result
_ROWS, _COLUMNS = 8, 1 << 14  # of a sample


class Stored(BlockBase):
    """In the place of a class whose own code is not run: its events are stored, and nothing else."""

    buffer = "F"

    def arrays(self, elements):
        """Declare nothing."""
        return {}

    def publish(self, update, group):
        """Write nothing."""


@dataclass(frozen=True)
class Sample:
    """A few events, of which blocks are made.

    Attributes
    ----------
    rows : (k, n) array
        Elements, in the dtype in which they travel.
    steps : (j,) int64 [ns or pulses]
        From each event to the next, more than 0.
    pulses : bool
    values : dict of str to (m,) float64
        Of some events.
    """

    rows: Any
    steps: Any
    pulses: bool
    values: dict = field(default_factory=dict)


def made_up(config):
    """Return a sample of events that nobody has read: counts of photons, a pulse apart."""
    shape = _ROWS, min(config.elements, _COLUMNS)
    rows = np.random.default_rng(0).poisson(1, shape).astype(wire_dtype(np.dtype(np.uint16), config.store_dtype))
    return Sample(rows, np.ones(1, np.int64), True, dict.fromkeys(config.names, np.linspace(0.5, 1.5, 100)))


def sample_of(stamps, values, rows, pulses, rate):
    """Return a sample of events that were read.

    Parameters
    ----------
    stamps : (m,) int64 [ns or pulses]
    values : dict of str to (m,) float64
    rows : (m, n) array
        Their elements, in the dtype in which they travel.
    pulses : bool
    rate : float
        Pulses per second.
    """
    steps = np.diff(np.unique(stamps))
    if not len(steps):
        steps = np.array([1 if pulses else round(1e9 / rate)])
    return Sample(rows[:_ROWS, :_COLUMNS].copy(), steps.astype(np.int64), pulses, values)


def harmless(config, **params):
    """Return a config that runs no user's code and writes no file, and whose code is left out for that.

    Of a class that is made from one of the program's that one is taken.

    Parameters
    ----------
    config : Config
    **params
        More of `user_params`.

    Returns
    -------
    Config
    list of str
        Names of classes whose own code is not run.
    """
    left_out = []

    def quiet(one, more):
        measured = next((each for each in one.user_class.__mro__ if is_ours(each) and _is_whole(each)), Stored)
        if measured is not one.user_class and not more:
            left_out.append(one.user_class.__name__)
        own = {"user_class": one.user_class if more else measured, "checkpoint": 0}
        user_params = one.user_params | _QUIET | params
        system_params = one.system_params | (own if not more else {"checkpoint": 0})
        return replace(one, system_params=system_params, user_params=user_params, h5output=None, **own)

    classes = {name: quiet(own, False) for name, own in config.classes.items()}
    return replace(quiet(config, bool(classes)), classes=classes), left_out


def of_updates(config, update):
    """Return a config with another number of events from update to update."""
    params = {"update": update}
    classes = {
        name: replace(own, update=update, system_params=own.system_params | params)
        for name, own in config.classes.items()
    }
    return replace(config, update=update, system_params=config.system_params | params, classes=classes)


def _is_whole(user_class):
    """Tell whether a class has all that a calculation needs."""
    return (
        issubclass(user_class, BlockBase)
        and not getattr(user_class, "__abstractmethods__", None)
        and all(getattr(user_class, name) is not getattr(BlockBase, name) for name in ("arrays", "enter", "publish"))
    )


@dataclass(frozen=True)
class Part(Job):
    """A job of which this rank has other elements than its place among the workers gives it.

    Attributes
    ----------
    part : slice
        Of the included elements.
    """

    part: slice = field(default_factory=lambda: slice(0, 1))

    def part_of(self, worker_rank):
        """Return the slice of included elements of a worker."""
        return self.part


def part_of_job(config: Config, network: LocalNetwork, rank: int, threads: int, elements: int) -> Part:
    """Return the job of three roles in one process, with so many elements, as one of them sees it."""
    roles = Roles(servers=(SERVER,), workers=(WORKER,))
    return Part(config, roles, network.transport(rank), Clock(False), threads, part=slice(0, elements))


class Feeder:
    """Sends blocks of a sample's events, one after the other, as a server does.

    Parameters
    ----------
    config : Config
    network : LocalNetwork
    elements : int
    sample : Sample
    stride : int
        How many steps lie between two events.

    Attributes
    ----------
    run : int
        Ordinal of the run that the events are of.
    """

    def __init__(self, config, network, elements, sample, stride=1):
        self._transport, self._sample = network.transport(SERVER), sample
        self._stride = stride
        dtype = sample.rows.dtype
        self._buffer = BlockBuffer(config.block, [elements], config.store_dtype, config.names, *of_header(config))
        self._rows = self._buffer.rows(dtype)[0]
        columns = np.arange(elements) % sample.rows.shape[1]
        some = sample.rows[:, columns]
        for k in range(config.block):
            self._rows[k, :elements] = some[k % len(some)]
        self._kind = _move.NUMBER[dtype]
        self._at = self._block = self.run = 0

    def send(self, events, end=0):
        """Send the next block, of so many events; return its handles. `end` is what its header says of the end."""
        buffer, sample = self._buffer, self._sample
        buffer.begin(self._block, -1, sample.pulses)
        buffer.header[[END, EVENTS, READ, TYPE]] = end, events, events, self._kind
        number = np.arange(self._at, self._at + events) * self._stride
        turns, rest = np.divmod(number, len(sample.steps))
        whole = np.concatenate([[0], np.cumsum(sample.steps)])
        table = buffer.numbers[buffer.head :].reshape(-1, buffer.row)[:events]
        table[:, 0], table[:, 1] = turns * whole[-1] + whole[rest], self.run
        for column, name in enumerate(buffer.names, 2):
            values = sample.values[name]
            table[:, column].view(np.float64)[...] = values[number % len(values)]
        self._at, self._block = self._at + events, self._block + 1
        return [
            self._transport.send(WORKER, TAG_BLOCK, buffer.numbers[: buffer.head + buffer.row * events]),
            self._transport.send(WORKER, TAG_DATA, self._rows[:events]),
        ]
