"""One run of an experiment, opened by psana for one process."""

from contextlib import contextmanager
from functools import partial

from parcorana.errors import ConfigError, RunError
from parcorana.events.psana2 import files, library
from parcorana.events.psana2.bulk import read_in_bulk

_CIRCLES = 1000  # pieces of small data that are the same


@contextmanager
def reading(dataset, logbook, number, settled=None, **options):
    """Open a run by its small data; close it at the end of the ``with`` body.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
        Of kind 'exp'.
    logbook : parcorana.events.psana2.logbook.Logbook
    number : int
        Run number.
    settled : callable or None
        Live runs: takes run number and psana's own question for the files, and
        returns what describes them once they are all there.
    **options
        For psana's data source.

    Yields
    ------
    psana.psexp.serial_ds.SerialDataSource

    Raises
    ------
    ConfigError
        psana cannot open the run.
    RunError
        While its small data is read: it leads psana in circles.
    """
    from psana.psexp.serial_ds import SerialDataSource

    # DataSource() would choose a class by the number of MPI ranks; here every server reads for itself.
    class Reader(SerialDataSource):
        def _get_file_info_from_db(self, runnum):
            return logbook.files_of(partial(super()._get_file_info_from_db, runnum), runnum)

        def _get_file_info_from_db_with_retry(self, runnum):
            return settled(runnum, partial(super()._get_file_info_from_db, runnum))

        def _get_configs(self):
            configs = super()._get_configs()
            _end_circles(self.smdr_man, run_name(dataset, number))
            if settled is not None:
                if configs is None:
                    _raise_of_configuration(self.smdr_man, run_name(dataset, number))
                _read_to_the_end(self.smdr_man)
            return configs

        def runs(self):
            for run in super().runs():
                read_in_bulk(run)
                yield run

    options |= {"exp": files.experiment_of(dataset), "run": number}
    if dataset.dir:
        options["dir"] = dataset.dir
    reader = _opened(Reader, run_name(dataset, number), options, tries=1 if settled is None else 3)
    try:
        yield reader
    finally:
        # psana itself leaves files open until Python happens to collect them, those with data for ever.
        reader.dm.close()
        reader._close_opened_smd_files()
        reader.smd_fds = None


def _opened(reader, name, options, tries):
    """Open; in live runs again if a file got its final name between psana's looks."""
    while True:
        tries -= 1
        try:
            return library.opened(reader, name, options)
        except ConfigError as error:
            if not tries or not isinstance(error.__cause__, FileNotFoundError):
                raise


def _raise_of_configuration(manager, name):
    """Raise that there is no whole configuration: as a file that was not found if it is there now, to look again.

    The files may get their last bytes and final names between two looks of
    psana, which then does not look at what it has read last.
    """
    what = f"{name}: its small data has no whole configuration"
    raise FileNotFoundError(what) if manager.check_transfer_complete() else ConfigError(what)


def _read_to_the_end(manager):
    """Let psana's reader of small data end only when it has found nothing new in files that are finished.

    It stops as soon as they are, with what it has just read not looked at: a
    tail is lost where a file gets its final name right after the last write.
    """
    transferred, state = manager.check_transfer_complete, {"finished": False}

    def complete():
        before, state["finished"] = state["finished"], transferred()
        return before and state["finished"] and not manager.smdr.got

    manager.check_transfer_complete = complete


def _end_circles(manager, name):
    """Raise where psana makes the same piece of small data again and again, with nothing read between.

    A wrong time in the small data makes it do so for ever.
    """
    build, seen = manager.build_batch, []

    def build_batch(*args, **kwargs):
        success = build(*args, **kwargs)
        smdr = manager.smdr
        # what begins each stream's part of the piece: the header of a datagram, with its time
        piece = None if smdr.got else [smdr.view_size, *(bytes(smdr.show(i)[:24]) for i in range(manager.n_files))]
        if piece is None or piece not in seen[:1]:
            seen.clear()
        seen.append(piece)
        if len(seen) > _CIRCLES:
            raise RunError(f"{name}: psana gets no further: a time or a length in the small data is damaged")
        return success

    manager.build_batch = build_batch


def run_name(dataset, number):
    """Return what errors call a run."""
    return f"run {number} of {files.experiment_of(dataset)}"
