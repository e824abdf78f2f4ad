"""Mean, variance and lag-one correlation of every element, in plain NumPy; docs/example-lag-one.md explains it."""

import numpy as np

import parcorana


class LagOne(parcorana.UserBase):
    """Of the events in the buffer: how bright an element is, how much it varies, and how fast.

    The lag-one correlation is the mean of (I(t) - m) (I(t + 1) - m) over all
    pairs of neighbouring pulses, divided by the variance; m is the mean. It is
    1 for what hardly changes from pulse to pulse, 0 for noise.
    """

    def arrayNames(self):
        """Name the arrays; each has one row, for there is one delay."""
        return ["mean", "variance", "lag_one"]

    def initWorker(self, numElementsWorker):
        """Remember how many elements there are."""
        self.elements = numElementsWorker

    def workerCalc(self, T, numTimesFilled, X):
        """Calculate on a worker's elements."""
        order = np.argsort(T[:numTimesFilled])  # rows are in no order
        T, X = T[order], X[order].astype(np.float64)
        mean, variance, lag_one = (np.full((1, self.elements), np.nan) for _ in range(3))
        constant = np.zeros(self.elements, bool)
        early = np.flatnonzero(np.diff(T) == 1)  # the next row is the next pulse: none is missing between them
        if len(X):
            mean[0], variance[0] = X.mean(axis=0), X.var(axis=0)
            constant = variance[0] == 0
        if len(early):
            away = X - mean
            covariance = np.mean(away[early] * away[early + 1], axis=0)
            np.divide(covariance, variance[0], out=lag_one[0], where=~constant)
        arrays = {"mean": mean, "variance": variance, "lag_one": lag_one}
        return arrays, np.array([len(early)]), constant.astype(np.int8)

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        """Write three images of the detector, and which elements never changed."""
        (delay,) = self.system_params["delays"]
        images = {name: name2delay2ndarray[name][delay] for name in self.arrayNames()}
        if h5UserGroup is not None:
            group = h5UserGroup.create_group(f"lag_one_at_{self.mpiParams.processed:06d}")
            group.attrs["pairs"], group.attrs["relsec"] = counts[0], relsec
            for name, image in images.items():
                group[name] = image
            group["constant"] = int8array
        mask = self.mpiParams.mask & (int8array == 0)
        lag_one = images["lag_one"][mask].mean() if mask.any() else np.nan
        self.mpiParams.logInfo(f"{counts[0]} pairs of neighbouring pulses, mean lag-one correlation {lag_one:.3f}")
