# Sums per colour, at an update. Part of _core.pyx.


def sum_colors(g2 not None, ip, fut, const double[::1] counts not None, group, Py_ssize_t groups, fine,
               Py_ssize_t fines, Py_ssize_t threads=1):
    """Sum over the elements of each colour what delay curves are made of; see csrc/colors.h.

    Parameters
    ----------
    g2, ip, fut : (n, D) float64
    counts : (D,) float64
        Pairs of each delay; where there are none, `ip` and `fut` count as 0.
    group : (n,) int64
        Below `groups`; -1: in no sum.
    fine : (n,) int64 or None
        The same for `ip` and `fut`, below `fines`; None: each element's divide its own `g2`.
    threads : int

    Returns
    -------
    float64 array
        With `fine`: sums of g2 and g2^2 of each group, of ip, fut and ip fut of each fine group,
        (2 groups + 3 fines, D). Else, of each group, the excess of the ratio over 1, its square, the elements
        without one, and 1 / ip of those with one, (4 groups, D).
    """
    cdef pca_arrays arrays
    cdef pca_colors colors
    arrays.x = NULL
    arrays.ip, arrays.fut = doubles(b"ip", ip, len(g2), len(counts)), doubles(b"fut", fut, len(g2), len(counts))
    return sum_of_colors(g2, counts, group, groups, fine, fines, &colors, NULL, &arrays, 0, threads)


def sum_pending(lines, const real[::1, :] x not None, total, g2 not None, ip, fut,
                const double[::1] counts not None, group, Py_ssize_t groups, fine,
                Py_ssize_t fines, Py_ssize_t threads=1):
    """Do the same with what a plan adds to `ip` and `fut`, which stay as they are.

    Parameters
    ----------
    lines : parcorana.correlation.plan.Plan
        That of `settle`; or of `correlate` in the mode ENDS, and then `ip`, `fut` and `total` are None.
    x : (times, n) float32 or float64, Fortran order
    total : (n,) float64
    """
    cdef pca_plan plan
    cdef pca_arrays arrays
    cdef pca_colors colors
    set_pending[real](&plan, &arrays, lines, x, total, ip, fut, len(g2), counts.shape[0])
    return sum_of_colors(g2, counts, group, groups, fine, fines, &colors, &plan, &arrays, sizeof(real) == 8, threads)


cdef int set_pending(pca_plan *plan, pca_arrays *arrays, lines, const real[::1, :] x, total, ip, fut, int64_t n,
                     int64_t delays) except -1:
    """Fill in the plan of what `ip` and `fut` lack, and the arrays that it takes; the caller keeps them alive."""
    fill_plan(plan, lines, x.shape[0], 0, delays)
    check_backwards(plan)
    if plan.start != NULL:
        raise ValueError("a plan for the sums of colours has no runs of pairs")
    same_length(b"x (elements)", x.shape[1], n)
    arrays.x, arrays.ld = <void *>&x[0, 0], x.shape[0]
    arrays.block = NULL
    arrays.ld_block = 0
    if plan.mode == PCA_ENDS:
        arrays.ip = arrays.fut = arrays.total = NULL
    else:
        arrays.ip, arrays.fut = doubles(b"ip", ip, n, delays), doubles(b"fut", fut, n, delays)
        arrays.total = doubles(b"total", total, n, -1)
    return 0


cdef sum_of_colors(g2, const double[::1] counts, group, int64_t groups, fine, int64_t fines, pca_colors *colors,
                   const pca_plan *plan, pca_arrays *arrays, int is_double, Py_ssize_t threads):
    cdef int64_t n = len(g2)
    cdef int workers
    cdef double[::1] table
    cdef char[::1] scratch
    colors.delays, colors.groups, colors.fines = counts.shape[0], groups, fines
    colors.group = checked(b"group", group, n, -1, groups)
    colors.fine = NULL
    if fine is not None:
        colors.fine = checked(b"fine", fine, n, -1, fines)
    sums = np.zeros((4 * groups if fine is None else 2 * groups + 3 * fines, counts.shape[0]))
    if n == 0 or sums.size == 0:
        return sums
    colors.counts = &counts[0]
    arrays.g2, arrays.elements = doubles(b"g2", g2, n, colors.delays), n
    arrays.energy = NULL
    table = sums.reshape(-1)
    workers = useful(threads, n)
    scratch = aligned(pca_colors_scratch(colors, plan, is_double, workers))
    with nogil:
        pca_sum_colors(colors, plan, arrays, is_double, workers, &scratch[0], &table[0])
    return sums
