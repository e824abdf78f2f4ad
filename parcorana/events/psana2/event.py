"""An event of psana, as servers and user classes see it."""

from functools import partial

from parcorana.events.protocol import Event
from parcorana.events.psana2 import library


class PsanaEvent(Event):
    """An event of psana.

    psana's own object, which user classes get, has `stamp`, `index` and
    `values` of this one, too. Its ``run()`` is a method of psana.

    Parameters
    ----------
    evt : psana.event.Event
    ordinal : int
        Of its run in the dataset.
    index : int
        Its position in its run.
    of_run : parcorana.events.psana2.wanted.OfRun

    Raises
    ------
    NotANumber
        One of its values is none.
    """

    __slots__ = ()

    def __init__(self, evt, ordinal, index, of_run):
        stamp, values = library.stamp_of(evt.timestamp), of_run.values.of(evt)
        read = partial(of_run.field.fetch, evt)
        super().__init__(ordinal, stamp, read, evt, index=index, values=lambda: values, own_run=of_run.run)
        evt.stamp, evt.index, evt.values = stamp, index, values
