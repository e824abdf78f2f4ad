# The rolling buffer's rows: counters, fates, runs of rows. Part of _core.pyx.


def counters(const int64_t[::1] stamp not None, Py_ssize_t first, Py_ssize_t rate_num, Py_ssize_t rate_den,
             int64_t[::1] out not None):
    """Write ``round((stamp - first) * rate / 1e9)``, halves up, in exact arithmetic.

    Parameters
    ----------
    stamp : (n,) int64 [ns]
    first : int [ns]
    rate_num, rate_den : int
        The rate as a fraction [Hz]; rate_num < 2**32.
    out : (n,) int64 [pulses]

    Raises
    ------
    ValueError
        Lengths differ, or a counter does not fit into int64.
    """
    cdef int64_t n = stamp.shape[0]
    cdef pca_status status
    same_length(b"out", out.shape[0], n)
    if rate_num >= 1 << 32:
        raise ValueError(f"rate_num must be below 2**32, not {rate_num}")
    if n == 0:
        return
    expect_apart(("out", "stamp"), (out, stamp), 1)
    with nogil:
        status = pca_counters(&stamp[0], n, first, rate_num, rate_den, &out[0])
    check(status)


cdef pca_events events_of(int64_t[::1] counter, int32_t[::1] row, int32_t[::1] seq,
                          int32_t[::1] leave, int64_t head, int64_t tail) except *:
    cdef pca_events ev
    cdef Py_ssize_t n = counter.shape[0]
    same_length(b"row", row.shape[0], n)
    same_length(b"seq", seq.shape[0], n)
    same_length(b"leave", leave.shape[0], n)
    if n == 0 or not 0 <= head <= tail <= n:
        raise ValueError(f"head {head} and tail {tail} do not fit into arrays of length {n}")
    ev.counter = &counter[0]
    ev.row = &row[0]
    ev.seq = &seq[0]
    ev.leave = &leave[0]
    ev.capacity = n
    ev.head = head
    ev.tail = tail
    return ev


def admit(int64_t[::1] counter not None, int32_t[::1] row not None, int32_t[::1] seq not None,
          int32_t[::1] leave not None, Py_ssize_t head, Py_ssize_t tail, Py_ssize_t times,
          const int64_t[::1] entering not None, Py_ssize_t limit, int8_t[::1] fate not None,
          int64_t[::1] entered not None):
    """Let events enter one at a time (docs/definitions.md); see `pca_admit` in csrc.

    Returns
    -------
    head, tail, consumed : int
        The new bounds, and how many of `entering` were looked at.
    """
    cdef pca_events ev = events_of(counter, row, seq, leave, head, tail)
    cdef int64_t consumed = 0, n = entering.shape[0]
    cdef pca_status status
    if times < 1 or fate.shape[0] < n or entered.shape[0] < min(n, limit):
        raise ValueError("admit: times must be >= 1, fate and entered long enough for all events")
    if n == 0 or limit <= 0:
        return head, tail, 0
    expect_apart(("counter", "row", "seq", "leave", "fate", "entered", "entering"),
                 (counter, row, seq, leave, fate, entered, entering), 6)
    with nogil:
        status = pca_admit(&ev, times, &entering[0], n, limit, &fate[0], &entered[0], &consumed)
    check(status)
    return ev.head, ev.tail, consumed


def find_runs(int64_t[::1] counter not None, int32_t[::1] row not None, int32_t[::1] seq not None,
              int32_t[::1] leave not None, Py_ssize_t first, Py_ssize_t tail,
              const uint8_t[::1] kinds not None, const int64_t[::1] delays not None):
    """Find the row runs of all pairs with at least one new event; see `pca_find_runs` in csrc.

    Returns
    -------
    run : (R,) RUN_DTYPE
    start : (D + 1,) int64
    counts : (D,) int64
    """
    cdef pca_events ev = events_of(counter, row, seq, leave, first, tail)
    cdef int64_t n = delays.shape[0], capacity = 4 * n + 64
    cdef int64_t[::1] start = np.zeros(n + 1, np.int64)
    cdef int64_t[::1] counts = np.zeros(n, np.int64)
    cdef int32_t[::1] flat
    cdef pca_status status = PCA_OK
    same_length(b"kinds", kinds.shape[0], n)
    if n == 0:
        return np.zeros(0, RUN_DTYPE), np.asarray(start), np.asarray(counts)
    while True:
        run = np.empty(capacity, RUN_DTYPE)
        flat = run.view(np.int32)
        with nogil:
            status = pca_find_runs(&ev, first, &kinds[0], &delays[0], n, <pca_run *>&flat[0],
                                   capacity, &start[0], &counts[0])
        if status != PCA_MORE:
            break
        capacity *= 4
    check(status)
    return run[:start[n]].copy(), np.asarray(start), np.asarray(counts)
