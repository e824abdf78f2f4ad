"""The one place that chooses among the sources of events."""

from parcorana.errors import ConfigError
from parcorana.events.protocol import Share


def open_described(by, *, share=None, log=print, values=None):
    """Open the dataset that a config, or a run of the mask tool, describes; as `open_source`.

    Parameters
    ----------
    by : object
        With `dataset`, `src`, `type`, `psana_config` and `times_src`.
    share, log, values
        As of `open_source`.
    """
    return open_source(
        by.dataset,
        src=by.src,
        type_=by.type,
        share=share,
        log=log,
        psana_config=by.psana_config,
        values=values,
        times_src=by.times_src,
    )


def open_source(
    dataset, *, src=None, type_=None, share=None, log=print, psana_config=None, values=None, times_src=None
):
    """Open a dataset.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
    src, type_ : str or None
        Which detector, which data of it: `src` and `type` in docs/config.md.
    share : Share
        Which events to read.
    log : callable
        Takes one line of text for the user.
    psana_config : dict or None
        Calibration, as `parcorana.make_psana_config` makes it; psana only.
    values : dict of str to str, optional
        Names of the numbers that each event is to have, and where they are.
    times_src : str or None
        HDF5 only: path of the times, where they are not beside the frames.

    Returns
    -------
    EventSource

    Raises
    ------
    ConfigError
        A file, run, detector, dataset or value is missing or of the wrong kind.
    """
    share, values = share or Share(), values or {}
    # Each backend's own library is imported only when a run needs it.
    if dataset.kind == "sim":
        from parcorana.events.simulated import SimulatedSource

        return SimulatedSource(dataset, share, values)
    if dataset.kind == "h5":
        if dataset.live:
            from parcorana.events.hdf5.live import HDF5Live

            return HDF5Live(dataset, src, share, log, values, times_src)
        from parcorana.events.hdf5.source import HDF5Source

        return HDF5Source(dataset, src, share, log, values, times_src)
    if dataset.kind == "memory":
        raise ConfigError(
            f"dataset {dataset.text!r}: arrays in memory cannot be opened by name; parcorana.correlate takes them"
        )
    from parcorana.events.psana1 import psana_of_lcls1

    if (psana := psana_of_lcls1()) is not None:
        from parcorana.events.psana1 import Psana1Source

        return Psana1Source(psana, dataset, src, type_, share, log, psana_config, values)
    if dataset.kind in ("exp", "file"):
        if dataset.live:
            from parcorana.events.psana2.live import Psana2Live as Psana2Source
        elif dataset.idx:
            from parcorana.events.psana2.index import Psana2Index as Psana2Source
        else:
            from parcorana.events.psana2.sequential import Psana2Source

        return Psana2Source(dataset, src, type_, share, log, psana_config, values)
    from parcorana.events.psana2.shared import Psana2Shared

    return Psana2Shared(dataset, src, type_, share, log, psana_config, values)
