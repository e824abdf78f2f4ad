# What is asked of values and shifts beside the sums. Part of _core.pyx.


def count_shifts(const uint8_t[::1] is_new not None, const uint8_t[::1] present not None,
                 Py_ssize_t begin, const int64_t[::1] shift not None):
    """Count, for each shift, the new positions whose partner is present.

    Parameters
    ----------
    is_new : (e,) uint8
        Of the positions from `begin` on.
    present : (length,) uint8
    begin : int
    shift : (k,) int64

    Returns
    -------
    (k,) int64
    """
    cdef int64_t[::1] count = np.zeros(shift.shape[0], np.int64)
    if begin < 0 or begin + is_new.shape[0] > present.shape[0]:
        raise ValueError("is_new reaches beyond present")
    if shift.shape[0] and is_new.shape[0]:
        with nogil:
            pca_count_shifts(&is_new[0], &present[0], present.shape[0], begin,
                             begin + is_new.shape[0], &shift[0], shift.shape[0], &count[0])
    return np.asarray(count)


def energy(const real[::1, :] x not None, Py_ssize_t rows, Py_ssize_t piece, double[::1] energy not None,
           double[::1] largest not None, Py_ssize_t threads=1):
    """``energy[p] = sum(x[:rows, p]**2)`` in float64, ``largest[p]`` that of the largest piece of rows."""
    cdef pca_status status
    cdef int workers = useful(threads, x.shape[1])
    same_length(b"energy", energy.shape[0], x.shape[1])
    same_length(b"largest", largest.shape[0], x.shape[1])
    if not 0 <= rows <= x.shape[0] or piece < 1:
        raise ValueError(f"rows is {rows}, there are {x.shape[0]}; piece is {piece}, it should be above 0")
    if x.shape[0] == 0 or x.shape[1] == 0:
        return
    expect_apart(("energy", "largest", "x"), (energy, largest, x), 2)
    with nogil:
        if real is float:
            status = pca_energy_f32(&x[0, 0], x.shape[0], rows, x.shape[1], piece, &energy[0], &largest[0], workers)
        else:
            status = pca_energy_f64(&x[0, 0], x.shape[0], rows, x.shape[1], piece, &energy[0], &largest[0], workers)
    check(status)


def is_whole(const real[:, :] x not None, Py_ssize_t most):
    """Tell whether all values are whole numbers from -most to most."""
    cdef int32_t whole = 1
    cdef Py_ssize_t k
    cdef pca_arrays arrays
    if not 0 <= most <= _MOST:
        raise ValueError(f"most is {most}, it should be from 0 to {_MOST}")
    if x.shape[0] == 0 or x.shape[1] == 0:
        return True
    set_block[real](&arrays, x, x.shape[1])
    with nogil:
        for k in range(x.shape[0]):
            if real is float:
                pca_whole_f32(&x[k, 0], x.shape[1], <int32_t>most, &whole)
            else:
                pca_whole_f64(&x[k, 0], x.shape[1], <int32_t>most, &whole)
    return bool(whole)


def bring_elements(rows, numbers, const int64_t[::1] order not None, const int64_t[::1] spoilt not None,
                   real[:, ::1] to not None, double[::1] sums not None, double[::1] squares not None):
    """Bring elements of events side by side, and sum them; see csrc/elements_impl.h.

    Parameters
    ----------
    rows, numbers : (m,) uintp, int64
        Of each event the address of its n elements, of the type of `to`, and when it was processed.
    order : (k,) int64
        Which elements.
    spoilt : (n,) int64
        From which event on an element is 0.
    to : (m, k) float32 or float64
    sums, squares : (m,) float64
    """
    cdef const size_t[::1] row = rows
    cdef const int64_t[::1] number = numbers
    cdef int64_t m = row.shape[0], k = order.shape[0]
    cdef Py_ssize_t i
    same_length(b"to", to.shape[0], m)
    same_length(b"to (elements)", to.shape[1], k)
    same_length(b"numbers", number.shape[0], m)
    same_length(b"sums", sums.shape[0], m)
    same_length(b"squares", squares.shape[0], m)
    for i in range(k):
        if not 0 <= order[i] < spoilt.shape[0]:
            raise ValueError(f"there is no element {order[i]}")
    if m == 0 or k == 0:
        sums[:], squares[:] = 0, 0
        return
    with nogil:
        if real is float:
            pca_elements_f32(&row[0], &number[0], m, &order[0], &spoilt[0], k, &to[0, 0], &sums[0], &squares[0])
        else:
            pca_elements_f64(&row[0], &number[0], m, &order[0], &spoilt[0], k, &to[0, 0], &sums[0], &squares[0])
