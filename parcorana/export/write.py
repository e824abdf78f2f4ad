"""The file for other programs."""

from pathlib import Path

from parcorana.errors import RunError, one_line
from parcorana.export.nxxpcs import write_entry
from parcorana.export.read import read_exported
from parcorana.export.xpcs import write_xpcs
from parcorana.files.aside import hdf5, kind_in_place, written
from parcorana.files.plain import plain_file


def write_exported(output, ex, with_arrays=True):
    """Write the file, aside and then renamed.

    Raises
    ------
    RunError
        It cannot be written.
    """
    try:
        with written(Path(output).absolute()) as disk, hdf5(disk) as file:
            write_entry(file, ex)
            write_xpcs(file, ex, with_arrays)
            file["entry"].attrs["notes"] = "; ".join(ex.doubts)
    except OSError as error:
        raise RunError(f"cannot write {str(output)!r}: {one_line(error)}") from None


def asking_for_export(config):
    """Return which of several classes ask for the result to be exported; None where nobody does.

    Parameters
    ----------
    config : parcorana.job.config.Config
    """
    configs = config.classes or {"": config}
    asking = [
        name
        for name, one in configs.items()
        if "export" in (getattr(one.user_class, "takes_params", None) or ()) and one.user_params.get("export")
    ]
    return [name for name in asking if name] if asking else None


def export_beside(result, classes, log):
    """Export a result at the end of its run; whatever fails there must not make the run fail.

    Parameters
    ----------
    result : str
        The result file.
    classes : list of str
        Of several classes those that ask for it; with delay curves, the first one of these is exported.
    log : logging.Logger
    """
    path = Path(result)
    output = path.with_name(f"{path.stem}_xpcs.hdf")
    try:
        with plain_file(result) as file:
            ex = read_exported(file, result, of=classes[0] if classes else None)
            before = kind_in_place(output)
            write_exported(output, ex)
    except Exception as error:
        log.warning("export: %s is not written: %s; parCorAnaExport does it later", output, one_line(error))
        return
    if before:
        log.warning("export: %s: %s of that name was in its place, which it has taken", output, before)
    for text in ex.doubts:
        log.info("export: %s", text)
    log.info("export: %s", output)
