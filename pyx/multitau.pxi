# Multi-tau. Part of _core.pyx.


cdef int fill_levels(pca_levels *levels, const int64_t[::1] lag, const int64_t[::1] first, int8_t[:, ::1] present,
                     int64_t[::1] frontier, int8_t[::1] begun, int64_t[::1] counts) except -1:
    cdef Py_ssize_t k
    levels.levels, levels.channels, levels.delays = present.shape[0], present.shape[1], lag.shape[0]
    same_length(b"frontier", frontier.shape[0], 1)
    same_length(b"begun", begun.shape[0], 1)
    same_length(b"first", first.shape[0], levels.levels + 1)
    same_length(b"counts", counts.shape[0], levels.delays)
    if min(levels.levels, levels.channels, levels.delays) < 1 or levels.levels * levels.channels >= _MOST:
        raise ValueError("levels, channels and delays must be 1 or more, and not too many")
    levels.lag = checked(b"lag", np.asarray(lag), levels.delays, 0, levels.channels + 1)
    levels.first = checked(b"first", np.asarray(first), levels.levels + 1, 0, levels.delays + 1)
    for k in range(levels.levels):
        if first[k] > first[k + 1]:
            raise ValueError("first must increase")
    levels.present, levels.frontier, levels.begun, levels.counts = &present[0, 0], &frontier[0], &begun[0], &counts[0]
    return 0


def multitau_scratch(lag, first, present, frontier, begun, counts, Py_ssize_t itemsize):
    """Return the bytes of scratch of each thread, and those for all of them."""
    cdef pca_levels levels
    fill_levels(&levels, lag, first, present, frontier, begun, counts)
    return pca_multitau_scratch(&levels, itemsize), pca_pass_size(&levels)


def multitau(lag, first, present, frontier, begun, counts, real[:, :, ::1] history not None, total not None,
             g2 not None, ip not None, fut not None, const int64_t[::1] counters not None,
             const size_t[::1] rows not None, Py_ssize_t threads=1):
    """Add events to sums of multi-tau; see csrc/multitau.h.

    Parameters
    ----------
    lag : (D,) int64
        Of each delay, in frames of its level.
    first : (levels + 1,) int64
        Level L has the delays first[L] ... first[L + 1] - 1.
    present : (levels, channels) int8
    frontier : (1,) int64 [pulses]
    begun : (1,) int8
    counts : (D,) int64
    history : (n, levels, channels) float32 or float64
    total : (n, levels) float64
    g2, ip, fut : (n, D) float64
    counters : (m,) int64 [pulses]
        Increasing, from `frontier` on.
    rows : (m,) uintp
        Address of the n values of each event, of the type of `history`.
    threads : int

    Raises
    ------
    ValueError
        Lengths or shapes do not fit together, or counters do not increase.
    """
    cdef pca_levels levels
    cdef pca_series series
    cdef pca_status status
    cdef char[::1] memory, scratch
    cdef int workers
    cdef int64_t n = history.shape[0], m = counters.shape[0]
    fill_levels(&levels, lag, first, present, frontier, begun, counts)
    same_length(b"history (levels)", history.shape[1], levels.levels)
    same_length(b"history (channels)", history.shape[2], levels.channels)
    same_length(b"rows", rows.shape[0], m)
    if m == 0 or n == 0:
        return
    series.rows, series.elements, series.history = &rows[0], n, &history[0, 0, 0]
    series.total = doubles(b"total", total, n, levels.levels)
    series.g2, series.ip = doubles(b"g2", g2, n, levels.delays), doubles(b"ip", ip, n, levels.delays)
    series.fut = doubles(b"fut", fut, n, levels.delays)
    workers = useful(threads, n)
    memory = aligned(pca_pass_size(&levels))
    scratch = aligned(workers * pca_multitau_scratch(&levels, sizeof(real)))
    with nogil:
        status = pca_multitau(&levels, &series, &counters[0], m, sizeof(real) == 8, workers, &memory[0], &scratch[0])
    check(status)
