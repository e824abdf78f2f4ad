# Plans of lines, checked and filled in for the kernels. Part of _core.pyx.


cdef const pca_run *checked_runs(const char *what, run, Py_ssize_t *n, int64_t first_i,
                                 int64_t last_i, int64_t first_j, int64_t last_j) except? NULL:
    """Check that runs stay between their bounds; the caller keeps `run` alive."""
    cdef const int32_t[::1] flat = run.view(np.int32)
    cdef Py_ssize_t k
    cdef int64_t i, j, length
    n[0] = flat.shape[0] // 3
    for k in range(n[0]):
        i, j, length = flat[3 * k], flat[3 * k + 1], flat[3 * k + 2]
        if length < 0 or i < first_i or i + length > last_i or j < first_j or j + length > last_j:
            raise ValueError(f"run {k} of {what.decode()} reaches beyond what there is, or its length is below 0")
    return <const pca_run *>&flat[0] if n[0] else NULL


cdef const int64_t *checked(const char *what, array, int64_t length, int64_t low, int64_t high) except? NULL:
    """Check length and bounds (low <= value < high) of an int64 array; the caller keeps it alive."""
    cdef const int64_t[::1] values = array
    cdef Py_ssize_t k
    same_length(what, values.shape[0], length)
    for k in range(length):
        if not low <= values[k] < high:
            raise ValueError(f"{what.decode()}[{k}] is {values[k]}, it should be from {low} to {high - 1}")
    return &values[0] if length else NULL


cdef const uint8_t *checked_flags(const char *what, array, int64_t length) except? NULL:
    cdef const uint8_t[::1] flags = array
    same_length(what, flags.shape[0], length)
    return &flags[0] if length else NULL


cdef int check_backwards(const pca_plan *plan) except -1:
    """Check that the shifts are those of increasing delays, to earlier positions."""
    cdef Py_ssize_t k
    for k in range(plan.shifts):
        if plan.shift[k] > (0 if k == 0 else plan.shift[k - 1]):
            raise ValueError("shifts must be 0 or negative, and not increase")
    return 0


cdef int fill_missing(pca_plan *plan, lines) except -1:
    cdef Py_ssize_t k, d, n = len(lines.missing)
    plan.missing = checked(b"missing", lines.missing, n, -plan.length, plan.length)
    plan.new_first = checked(b"new_first", lines.new_first, 2, 0, n + 1)
    for k in range(plan.new_first[0], plan.new_first[1]):
        if plan.missing[k] < plan.begin or (k > plan.new_first[0] and plan.missing[k] <= plan.missing[k - 1]):
            raise ValueError("missing pulses among the new ones must increase and not lie before them")
    if plan.mode == PCA_ENDS:
        return 0
    plan.lo = checked(b"lo", lines.lo, plan.shifts, 0, n + 1)
    plan.hi = checked(b"hi", lines.hi, plan.shifts, 0, n + 1)
    for d in range(plan.shifts):
        for k in range(plan.lo[d], plan.hi[d]):
            if not plan.begin <= plan.missing[k] - plan.shift[d] < plan.end:
                raise ValueError("a missing pulse has no new event at this delay")
    return 0


cdef int fill_plan(pca_plan *plan, lines, int64_t times, int64_t rows, int64_t delays) except -1:
    """Check a `parcorana.correlation.plan.Plan` and describe it to C: nothing may reach beyond its memory."""
    cdef Py_ssize_t n = 0
    cdef Py_ssize_t k, length = lines.length, begin = lines.begin, end = lines.end
    cdef Py_ssize_t gone = lines.gone, new = len(lines.source)
    if not 0 <= length < 1 << 40:
        raise ValueError(f"length is {length}, it should be below 2**40")
    if not 0 <= begin <= end <= length:
        raise ValueError(f"begin {begin} and end {end} do not fit into a line of {length}")
    if gone and (not 0 <= gone <= begin or not lines.all_new or lines.mode != PCA_ONLY_G2):
        raise ValueError(f"gone is {gone}: what leaves lies before {begin}, and the mode is ONLY_G2")
    plan.length, plan.begin, plan.end, plan.gone = length, begin, end, gone
    plan.n_new = new
    plan.source = checked(b"source", lines.source, new, 0, rows)
    plan.old = checked_runs(b"old", lines.old, &n, 0, times, 0, length)
    plan.n_old = n
    if lines.all_new or len(lines.shift) == 0:
        plan.fresh = checked_runs(b"fresh", lines.fresh, &n, 0, new, 0, length)
    else:
        plan.fresh = checked_runs(b"fresh", lines.fresh, &n, 0, new, begin, end)
    plan.n_fresh = n
    plan.keep = checked_runs(b"keep", lines.keep, &n, 0, new, 0, times)
    plan.n_keep = n
    plan.all_new, plan.mode, plan.sign, plan.delays = lines.all_new, lines.mode, lines.sign, delays
    plan.defer = lines.defer
    plan.shifts = len(lines.shift)
    plan.shift = checked(b"shift", lines.shift, plan.shifts, -length, length + 1)
    plan.column = checked(b"column", lines.column, plan.shifts, 0, delays)
    plan.present = plan.is_new = NULL
    plan.missing = plan.new_first = plan.lo = plan.hi = NULL
    plan.run = NULL
    plan.start = NULL
    if lines.mode == PCA_MASKED and plan.shifts:
        plan.present = checked_flags(b"present", lines.present, length)
        plan.is_new = checked_flags(b"is_new", lines.is_new, end - begin)
    if plan.mode == PCA_DEFERRED and (plan.end != length or not plan.all_new):
        raise ValueError("in the mode DEFERRED the new events are the last ones")
    if plan.mode == PCA_ENDS and (begin != 0 or end != length):
        raise ValueError("the mode ENDS speaks of the whole line")
    if plan.mode == PCA_DEFERRED or plan.mode == PCA_ENDS:
        check_backwards(plan)
    elif plan.defer or lines.missing is not None:
        raise ValueError("only the modes DEFERRED and ENDS correct for missing pulses")
    if lines.missing is not None:
        fill_missing(plan, lines)
    if lines.start is not None:
        plan.run = checked_runs(b"run", lines.run, &n, 0, length, 0, length)
        plan.start = checked(b"start", lines.start, delays + 1, 0, n + 1)
        for k in range(delays):
            if plan.start[k] > plan.start[k + 1]:
                raise ValueError("start must not decrease")
    return 0


cdef double *doubles(const char *what, array, int64_t elements, int64_t delays) except? NULL:
    cdef double[:, ::1] two
    cdef double[::1] one
    if delays < 0:
        one = array
        same_length(what, one.shape[0], elements)
        return &one[0]
    two = array
    if two.shape[0] != elements or two.shape[1] != delays:
        raise ValueError(
            f"{what.decode()} has shape {two.shape[0]} x {two.shape[1]}, it should be {elements} x {delays}"
        )
    return &two[0, 0]
