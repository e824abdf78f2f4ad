"""The list of a run's files: from the facility's logbook, or from the folder where that cannot be reached."""

from parcorana.events.psana2 import files, library


class Logbook:
    """Answers psana's question for the files of a run.

    psana asks SLAC's logbook for them, without a time limit, and fails where
    there is no way to SLAC. The list only spares it a look into the folder, so
    where the connection fails, or takes more than a few seconds, the folder is
    looked into; the logbook is then not asked for the next runs.

    Parameters
    ----------
    dataset : parcorana.events.dataset.Dataset
        Of kind 'exp'.

    Attributes
    ----------
    about : str
        Where the last list is from.
    """

    def __init__(self, dataset):
        self._dataset = dataset
        self._reached = True
        self.about = ""

    def files_of(self, ask, number, endings=("",), wait=False):
        """Return psana's description of a run's files, those of the wanted streams.

        Parameters
        ----------
        ask : callable
            psana's own question.
        number : int
            Run number.
        endings : tuple of str
            What may follow ``.smd.xtc2`` in the folder.
        wait : bool
            Whether streams that are missing may still come, and are no error.

        Returns
        -------
        dict
            'xtc_files': list of str, the names; 'dirname': str, their folder;
            from the logbook whatever else it says.

        Raises
        ------
        ConfigError
            A stream that the run has not.
        """
        dataset = self._dataset
        answer = library.in_time(ask) if self._reached else None
        self._reached = answer is not None
        if answer:
            self.about = "the runs' files are those that SLAC's logbook lists"
            return answer | {"xtc_files": files.of_streams(dataset, number, answer["xtc_files"], wait)}
        folder = files.folder_of(dataset)
        why = "SLAC's logbook does not list them" if self._reached else "SLAC's logbook cannot be reached"
        self.about = f"{why}: the runs' files are those found in {folder}"
        exp = files.experiment_of(dataset)
        found = [path for ending in endings for path in files.small_data(folder, exp, number, ending)]
        names = sorted({path.name.split(".smd.xtc2")[0] + ".xtc2" for path in found})
        return {"xtc_files": files.of_streams(dataset, number, names, wait), "dirname": str(folder)}
