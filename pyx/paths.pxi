# Code paths, in every module that has some: `check` is the module's own.

cdef extern from "paths.h" nogil:
    const char *pca_path_name(int)
    const char *pca_chosen_path()
    pca_status pca_choose_path(const char *)


def paths():
    """Return the names of the code paths that this machine can run, best first."""
    names, k = [], 0
    while pca_path_name(k) != NULL:
        names.append(pca_path_name(k).decode())
        k += 1
    return names


def path():
    """Return the name of the code path in use."""
    return pca_chosen_path().decode()


def choose_path(name):
    """Use another code path, or the best one for None; ValueError if this machine cannot run it.

    The variable ``PARCORANA_CPU`` does so at the start.
    """
    cdef bytes wanted
    if name is None:
        check(pca_choose_path(NULL))
        return
    if name not in paths():
        raise ValueError(f"no code path {name!r} on this machine; there are {', '.join(paths())}")
    wanted = name.encode()
    check(pca_choose_path(wanted))
