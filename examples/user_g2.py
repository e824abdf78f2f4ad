"""G2 as a user class of plain NumPy: complete, to copy and to change.

It computes what `parcorana.userg2.G2atEnd` does, in the open and much slower.
Change `calculate` for a function of your own; docs/user-code.md explains the
callbacks. In the config file: ``from user_g2 import UserG2``.
"""

import numpy as np

import parcorana


class UserG2(parcorana.UserBase):
    """G2, IP and IF of all pairs in the buffer at an update, and a delay curve of each colour."""

    def __init__(self, user_params, system_params, mpiParams):
        super().__init__(user_params, system_params, mpiParams)
        self.delays = system_params["delays"]
        self.saturated_value = user_params.get("saturated_value")

    def arrayNames(self):
        """Name the arrays that `workerCalc` returns."""
        return ["G2", "IF", "IP"]

    def initWorker(self, numElementsWorker):
        """Remember which elements were ever saturated."""
        self.saturated = np.zeros(numElementsWorker, np.int8)

    def adjustData(self, data):
        """See each event's elements once, before they are stored."""
        if self.saturated_value is not None:
            self.saturated |= data >= self.saturated_value

    def workerCalc(self, T, numTimesFilled, X):
        """Sum over the pairs of every delay; rows are in no order, T says when each was taken."""
        arrays = {name: np.zeros((len(self.delays), X.shape[1])) for name in self.arrayNames()}
        counts = np.zeros(len(self.delays), np.int64)
        row_at = {int(t): row for row, t in enumerate(T[:numTimesFilled])}
        for d, delay in enumerate(self.delays):
            pairs = [(row, row_at[t + delay]) for t, row in row_at.items() if t + delay in row_at]
            counts[d] = len(pairs)
            for past, future in pairs:
                self.calculate(arrays, d, X[past].astype(np.float64), X[future].astype(np.float64))
        return arrays, counts, self.saturated

    def getState(self):
        """Name what a checkpoint keeps beside the buffer: all the rest is computed from that."""
        return {"saturated": self.saturated}

    def setState(self, state):
        """Take it up in a run that goes on (--resume), maybe with other elements."""
        self.saturated = state["saturated"]

    def calculate(self, arrays, d, past, future):
        """Add one pair: all elements at time t, and at t + delay."""
        arrays["G2"][d] += past * future
        arrays["IP"][d] += past
        arrays["IF"][d] += future

    def initViewer(self, mask_ndarrayCoords, h5GroupUser):
        """Load the colours; without a file all included elements have colour 1."""
        self.color = np.where(mask_ndarrayCoords, 1, 0)
        if self.user_params.get("color"):
            self.color = np.where(mask_ndarrayCoords, np.load(self.user_params["color"]), 0)

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        """Write counts, a delay curve of each colour, and the arrays themselves."""
        if h5UserGroup is None:  # the run writes no file
            return
        group = h5UserGroup.create_group(f"G2_results_at_{self.mpiParams.processed:06d}")
        group["delays"], group["delay_counts"], group["saturated"] = self.delays, counts, int8array
        for color in np.unique(self.color[self.color > 0]):
            mine = (self.color == color) & (int8array == 0)
            group[f"delay_curve_color_{color}"] = [
                self.g2(n, *(name2delay2ndarray[name][delay][mine] for name in ("G2", "IP", "IF")))
                for n, delay in zip(counts, self.delays, strict=True)
            ]
        for name, arrays in name2delay2ndarray.items():
            for delay, array in arrays.items():
                group[f"{name}/delay_{delay:06d}"] = array

    def calcAndPublishForTestAlt(self, counters, data, h5UserGroup):
        """Compute once more, in another way, for --test_alt: all events at once, every product of two of them."""
        counters, data = counters[-self.system_params["times"] :], data[-self.system_params["times"] :]
        arrays = {name: {} for name in self.arrayNames()}
        counts = []
        for delay in self.delays:
            pair = (counters[None, :] - counters[:, None] == delay).astype(float)  # [past, future]
            values = {
                "G2": np.einsum("pf,pi,fi->i", pair, data, data),
                "IP": pair.sum(1) @ data,
                "IF": pair.sum(0) @ data,
            }
            for name, value in values.items():
                arrays[name][delay] = np.zeros(self.mpiParams.mask.shape)
                arrays[name][delay][self.mpiParams.mask] = value
            counts.append(int(pair.sum()))
        saturated = np.zeros(self.mpiParams.mask.shape, np.int8)
        saturated[self.mpiParams.mask] = self.saturated  # adjustData has seen every event
        self.viewerPublish(np.array(counts), None, arrays, saturated, h5UserGroup)

    @staticmethod
    def g2(n, G2, IP, IF):
        """Return g2 of a colour, its means divided by each other; NaN where there is none."""
        bottom = IP.mean() * IF.mean() if len(IP) else 0
        return n * G2.mean() / bottom if bottom else np.nan
