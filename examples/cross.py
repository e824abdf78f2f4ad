"""Cross-correlation of groups of pixels with every pixel, by compiled kernels; docs/example-cross.md explains it."""

import h5py
import numpy as np

import parcorana
from parcorana import kernels

GROUPS = [1, 2]


class GroupMeans(parcorana.UserBase):
    """First run: the mean of each group of elements, for every event.

    A worker has only some elements of a group. It sums those; the framework
    adds the sums of all workers.
    """

    def arrayNames(self):
        """Name the arrays: there is nothing to say of single elements."""
        return ["none"]

    def initWorker(self, numElementsWorker):
        """Take the groups of this worker's elements."""
        groups = np.load(self.user_params["groups"])[self.mpiParams.mask]
        self.groups = groups[self.mpiParams.part].astype(np.int64)
        self.T, self.sums = [], []

    def adjustTerms(self, mode, dataIdx, T, X):
        """Sum over the groups of each event that enters."""
        if mode == parcorana.ADD:
            self.T.append(T[dataIdx])
            self.sums.append(kernels.sum_colors(X[dataIdx : dataIdx + 1], self.groups, GROUPS)[0])

    def workerCalc(self, T, numTimesFilled, X):
        """Return arrays of zeros: the sums go by `workerReduce`."""
        D, n = len(self.system_params["delays"]), X.shape[1]
        return {"none": np.zeros((D, n))}, np.zeros(D, np.int64), np.zeros(n, np.int8)

    def workerReduce(self, arrays, counts, int8array):
        """Return what is to be added over the workers; T is the same on all of them."""
        first = self.mpiParams.firstWorker
        return {
            "T": np.array(self.T, np.int64) * first,
            "sums": np.reshape(self.sums, (-1, len(GROUPS))),
            "elements": np.array([np.count_nonzero(self.groups == g) for g in GROUPS]),
        }

    def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
        """Write the means, in the order of T."""
        order = np.argsort(reduced["T"])
        h5UserGroup["T"] = reduced["T"][order]
        h5UserGroup["means"] = (reduced["sums"] / reduced["elements"])[order]


class Cross(parcorana.UserBase):
    """Second run: how every element follows the mean m of a group, a delay later.

    For a group, element p and delay d, over the n pairs (t, t + d) in the buffer:
    ``n sum m(t) I(t + d, p) / (sum m(t) sum I(t + d, p))``, which is 1 where
    the two have nothing to do with each other.
    """

    storage_order = "F"  # the kernels go through time

    def arrayNames(self):
        """Name one array for each group."""
        return [f"cross_{g}" for g in GROUPS]

    def initWorker(self, numElementsWorker):
        """Load the means that the first run has written."""
        with h5py.File(self.user_params["means"]) as file:
            self.T, self.means = file["user/T"][:], file["user/means"][:]

    def workerCalc(self, T, numTimesFilled, X):
        """Correlate the means of the stored events with this worker's elements."""
        T, X = T[:numTimesFilled], X[:numTimesFilled]
        if not np.isin(T, self.T).all():
            raise parcorana.RunError(
                f"{self.user_params['means']!r} lacks events: make it with the same dataset and mask"
            )
        means = self.means[np.searchsorted(self.T, T)].astype(X.dtype)  # rows of X are in no order, nor are these
        D, n, threads = len(self.system_params["delays"]), X.shape[1], self.mpiParams.threads
        runs = kernels.find_runs(T, self.system_params["delays"])
        future = np.zeros((n, D)).T
        kernels.add_pairs(runs, X, None, None, future, threads=threads)
        arrays = {}
        for k, name in enumerate(self.arrayNames()):
            product, past = np.zeros((n, D)).T, np.zeros((D, 1))
            kernels.add_pairs(runs, X, product, past=means[:, k], threads=threads)
            kernels.add_pairs(runs, means[:, k : k + 1], None, past)
            with np.errstate(invalid="ignore"):  # no pairs, or an element that is always 0: NaN
                arrays[name] = runs.counts[:, None] * product / (past * future)
        return arrays, runs.counts, np.zeros(n, np.int8)

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        """Write an image for each group and delay."""
        group = h5UserGroup.create_group(f"cross_at_{self.mpiParams.processed:06d}")
        group["counts"] = counts
        for name, images in name2delay2ndarray.items():
            for delay, image in images.items():
                group[f"{name}/delay_{delay:06d}"] = image
