# How much delay curves would change without each element, at an update. Part of _core.pyx.

cdef extern from "leverage.h" nogil:
    ctypedef struct pca_leverage:
        const int64_t *group
        const int64_t *color
        const double *g2
        const double *ip
        const double *fut
        const double *factor
        const double *rest
        const double *weight
        int64_t colors
        int64_t delays
        int64_t most
    ctypedef struct pca_pulls:
        double *sum
        double *square
        double *score
        int64_t *element
        double *change
        double *largest
        int32_t *delay
    size_t pca_leverage_scratch(const pca_leverage *, const pca_plan *, int, int)
    void pca_find_pulls(const pca_leverage *, const pca_plan *, const pca_arrays *, int, int, char *, const pca_pulls *)


def find_pulls(g2 not None, ip, fut, group, color, const double[:, :, ::1] levers not None, Py_ssize_t colors,
               Py_ssize_t most, Py_ssize_t threads=1, largest=None, delay=None):
    """Find the elements without which the curves of their colours would change most; see csrc/leverage.h.

    Parameters
    ----------
    g2, ip, fut : (n, D) float64
    group : (n,) int64
        Row of `levers`; -1: in no curve.
    color : (groups,) int64
        Of each group, below `colors`.
    levers : (6, groups, D) float64
        Sums of g2, ip and fut over the elements that share a mean, factor, rest, and the weight of a change.
    colors : int
    most : int
        Elements that are listed of each colour, at least 1.
    threads : int
    largest : (n,) float64, optional
        Gets the change of each element at the delay where it counts most; with `delay`.
    delay : (n,) int32, optional
        Gets the index of that delay.

    Returns
    -------
    moments : (2, colors, D) float64
        Sums of the changes, and of their squares.
    score : (colors, most) float64
        From the largest on; 0 where fewer elements change anything.
    element : (colors, most) int64
    change : (colors, most, D) float64
        Of g2.
    """
    cdef pca_arrays arrays
    cdef int64_t n = len(g2), delays = levers.shape[2]
    arrays.x = NULL
    arrays.ip, arrays.fut = doubles(b"ip", ip, n, delays), doubles(b"fut", fut, n, delays)
    return pulls_of(g2, group, color, levers, colors, most, NULL, &arrays, 0, threads, largest, delay)


def find_pulls_pending(lines, const real[::1, :] x not None, total, g2 not None, ip, fut, group, color,
                       const double[:, :, ::1] levers not None, Py_ssize_t colors, Py_ssize_t most,
                       Py_ssize_t threads=1, largest=None, delay=None):
    """Do the same with what a plan adds to `ip` and `fut`, as `sum_pending` takes it."""
    cdef pca_plan plan
    cdef pca_arrays arrays
    set_pending[real](&plan, &arrays, lines, x, total, ip, fut, len(g2), levers.shape[2])
    return pulls_of(g2, group, color, levers, colors, most, &plan, &arrays, sizeof(real) == 8, threads, largest, delay)


cdef pulls_of(g2, group, color, const double[:, :, ::1] levers, int64_t colors, int64_t most, const pca_plan *plan,
              pca_arrays *arrays, int is_double, Py_ssize_t threads, largest, delay):
    cdef pca_leverage c
    cdef pca_pulls pulls
    cdef int64_t n = len(g2), groups = levers.shape[1], delays = levers.shape[2]
    cdef double[::1] sums, scores, changes
    cdef int64_t[::1] elements
    cdef int32_t[::1] where
    cdef char[::1] scratch
    cdef int workers
    same_length(b"levers", levers.shape[0], 6)
    if most < 1 or colors < 0:
        raise ValueError(f"most is {most} and colors {colors}, they should be 1, and 0, or more")
    moments, score, element = np.zeros((2, colors, delays)), np.zeros((colors, most)), np.full((colors, most), -1)
    change = np.zeros((colors, most, delays))
    found = moments, score, element, change
    c.group, c.color = checked(b"group", group, n, -1, groups), checked(b"color", color, groups, 0, colors)
    if n == 0 or groups == 0 or delays == 0:
        return found
    c.g2, c.ip, c.fut = &levers[0, 0, 0], &levers[1, 0, 0], &levers[2, 0, 0]
    c.factor, c.rest, c.weight = &levers[3, 0, 0], &levers[4, 0, 0], &levers[5, 0, 0]
    c.colors, c.delays, c.most = colors, delays, most
    arrays.g2, arrays.elements = doubles(b"g2", g2, n, delays), n
    arrays.energy = NULL
    sums, scores, elements, changes = moments.reshape(-1), score.reshape(-1), element.reshape(-1), change.reshape(-1)
    pulls.sum, pulls.square = &sums[0], &sums[colors * delays]
    pulls.score, pulls.element, pulls.change = &scores[0], &elements[0], &changes[0]
    pulls.largest, pulls.delay = NULL, NULL
    if largest is not None:
        where = delay
        same_length(b"delay", where.shape[0], n)
        pulls.largest, pulls.delay = doubles(b"largest", largest, n, -1), &where[0]
    workers = useful(threads, n)
    scratch = aligned(pca_leverage_scratch(&c, plan, is_double, workers))
    with nogil:
        pca_find_pulls(&c, plan, arrays, is_double, workers, &scratch[0], &pulls)
    return found
