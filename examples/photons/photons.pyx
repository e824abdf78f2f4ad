# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""G2 of counted photons: a signal in detector units becomes whole photons, then is correlated.

docs/example-photons.md explains it; it belongs into a project of ``python -m parcorana new-module photons``.
"""

import numpy as np

import parcorana
from parcorana import kernels

from cython.parallel cimport parallel, prange
from libc.math cimport floor
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc

from parcorana.kernels cimport (
    PCA_NO_MEMORY, PCA_OK, add_pairs_f32, add_pairs_f64, check, import_kernels, pca_run, pca_status,
)

import_kernels()

ctypedef fused real:  # the run's store_dtype
    float
    double


def count_photons(real[:] data not None, double gain, double threshold):
    """Replace signals by numbers of photons: ``floor(signal / gain + 1 - threshold)``, but 0 below that.

    Parameters
    ----------
    data : (n,) float32 or float64, in place [ADU in, photons out]
    gain : float [ADU per photon]
    threshold : float [photons]
        The first photon counts from ``threshold * gain`` on, the second from one gain more.
    """
    cdef Py_ssize_t p
    cdef double photons
    with nogil:
        for p in range(data.shape[0]):
            photons = floor(data[p] / gain + 1 - threshold)
            data[p] = <real>(photons if photons > 0 else 0)


cdef pca_status one_element(const pca_run *run, const int64_t *start, int64_t delays, const real *x,
                            int64_t rows, int32_t *photon, int32_t *before, double *total,
                            double *G2, double *IP, double *IF_) noexcept nogil:
    """Sum over the pairs of one element.

    photon[k]: the k-th row that has photons; before[i], total[i]: how many such rows, and how
    many photons, come before row i. These are whole numbers, so that their sums are exact.
    """
    cdef int64_t d, r, i, j, length, k
    cdef int32_t found = 0
    cdef double sum = 0
    for i in range(rows):
        before[i], total[i] = found, sum
        if x[i] != 0:
            photon[found] = <int32_t>i
            found += 1
            sum += x[i]
    before[rows], total[rows] = found, sum
    for d in range(delays):
        for r in range(start[d], start[d + 1]):
            i, j, length = run[r].i, run[r].j, run[r].length
            IP[d] += total[i + length] - total[i]
            IF_[d] += total[j + length] - total[j]
            if found < rows // 8:  # sparse: from photon to photon
                for k in range(before[i], before[i + length]):
                    G2[d] += <double>x[photon[k]] * <double>x[photon[k] + j - i]
    if found < rows // 8:
        return PCA_OK
    # many photons: ParCorAna's kernel goes through all rows, of this one element
    if real is float:
        return add_pairs_f32(run, start, delays, x, rows, 1, 1, rows, G2, NULL, NULL, 1, delays, 1.0, 1)
    else:
        return add_pairs_f64(run, start, delays, x, rows, 1, 1, rows, G2, NULL, NULL, 1, delays, 1.0, 1)


def sums_of(runs, const real[::1, :] X not None, int threads):
    """Sum over all pairs of counted photons.

    Parameters
    ----------
    runs : parcorana.kernels.Runs
    X : (times, n) float32 or float64, 'F' order [photons]
    threads : int

    Returns
    -------
    G2, IP, IF_ : (n, D) float64
    """
    cdef const pca_run[::1] run = runs.run
    cdef const int64_t[::1] start = runs.start
    cdef int64_t p, rows = X.shape[0], elements = X.shape[1], delays = start.shape[0] - 1
    cdef double[:, ::1] G2, IP, IF_
    cdef int32_t *photon = NULL
    cdef double *total = NULL
    cdef int bad = 0  # the | of all statuses: 0 is PCA_OK
    G2, IP, IF_ = np.zeros((3, elements, delays))
    if run.shape[0]:
        with nogil, parallel(num_threads=threads):
            # scratch of each thread
            total = <double *>malloc((rows + 1) * (sizeof(double) + 2 * sizeof(int32_t)))
            photon = <int32_t *>(total + rows + 1)
            for p in prange(elements, schedule="dynamic", chunksize=64):
                if total == NULL:
                    bad |= PCA_NO_MEMORY
                else:
                    bad |= one_element(&run[0], &start[0], delays, &X[0, p], rows, photon, photon + rows + 1,
                                       total, &G2[p, 0], &IP[p, 0], &IF_[p, 0])
            free(total)
    if bad:
        check(<pca_status>bad)
    return np.asarray(G2), np.asarray(IP), np.asarray(IF_)


class Photons(parcorana.UserBase):
    """G2 of counted photons of the events now stored.

    `user_params`: 'gain', detector units per photon, and 'threshold', photons, 0.5 without it.
    """

    storage_order = "F"

    def __init__(self, user_params, system_params, mpiParams):
        super().__init__(user_params, system_params, mpiParams)
        self.gain, self.threshold = user_params["gain"], user_params.get("threshold", 0.5)

    @classmethod
    def checkParams(cls, user_params, mask, log):
        gain, threshold = user_params.get("gain"), user_params.get("threshold", 0.5)
        if not isinstance(gain, int | float) or not gain > 0:
            raise parcorana.ConfigError(f"user_params['gain'] must be a number above 0, not {gain!r}")
        if not isinstance(threshold, int | float) or not 0 < threshold <= 1:
            raise parcorana.ConfigError(f"user_params['threshold'] must be above 0 and at most 1, not {threshold!r}")

    def arrayNames(self):
        return ["G2", "IF", "IP"]

    def initWorker(self, numElementsWorker):
        self.elements = numElementsWorker

    def adjustData(self, data):
        count_photons(data, self.gain, self.threshold)

    def workerCalc(self, T, numTimesFilled, X):
        runs = kernels.find_runs(T, self.system_params["delays"])
        G2, IP, IF_ = sums_of(runs, X, self.mpiParams.threads)
        arrays = {"G2": G2.T, "IP": IP.T, "IF": IF_.T}
        return arrays, runs.counts, np.zeros(self.elements, np.int8)

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        """Write the arrays, and g2 over the whole mask: single elements have too few photons for a ratio each."""
        if h5UserGroup is None:
            return
        group = h5UserGroup.create_group(f"photons_at_{self.mpiParams.processed:06d}")
        mask, curve = self.mpiParams.mask, []
        for n, delay in zip(counts, self.system_params["delays"], strict=True):
            mean = {}
            for name, arrays in name2delay2ndarray.items():
                group[f"{name}/delay_{delay:06d}"] = arrays[delay]
                mean[name] = arrays[delay][mask].mean()
            bottom = mean["IP"] * mean["IF"]
            curve.append(n * mean["G2"] / bottom if bottom else np.nan)
        group["delays"], group["counts"], group["g2"] = self.system_params["delays"], counts, curve
