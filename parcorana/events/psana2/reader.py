"""One run of an experiment, opened by psana for one process."""

from contextlib import contextmanager
from functools import partial

from parcorana.events.psana2 import files, library


@contextmanager
def reading(dataset, logbook, number, **options):
    """Open a run by its small data; close it at the end of the ``with`` body.

    Parameters
    ----------
    dataset : Dataset
        Of kind 'exp'.
    logbook : Logbook
    number : int
        Run number.
    **options
        For psana's data source.

    Yields
    ------
    psana.psexp.serial_ds.SerialDataSource
    """
    from psana.psexp.serial_ds import SerialDataSource

    # DataSource() would choose a class by the number of MPI ranks; here every server reads for itself.
    class Reader(SerialDataSource):
        def _get_file_info_from_db(self, runnum):
            return logbook.files_of(partial(super()._get_file_info_from_db, runnum), runnum)

    options |= {"exp": files.experiment_of(dataset), "run": number}
    if dataset.dir:
        options["dir"] = dataset.dir
    reader = library.opened(Reader, run_name(dataset, number), options)
    try:
        yield reader
    finally:
        # psana itself leaves files open until Python happens to collect them, those with data for ever.
        reader.dm.close()
        reader._close_opened_smd_files()
        reader.smd_fds = None


def run_name(dataset, number):
    """Return what errors call a run."""
    return f"run {number} of {files.experiment_of(dataset)}"
