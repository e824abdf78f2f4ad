"""A user class that notes every call: its name and what it got; one file of JSON lines for each rank."""

import json
from pathlib import Path

import numpy as np

import parcorana

UNFILLED = np.iinfo(np.int64).min
NAMES = ["A", "B"]


def about(array):
    return [str(array.dtype), *array.shape]


class Recorder:
    """Without a base: what is not here is skipped. Data is 100 * counter + number of the element, in all."""

    def __init__(self, user_params, system_params, mpiParams):
        self.mpiParams, self.delays = mpiParams, system_params["delays"]
        self.file = Path(user_params["calls"]) / f"{mpiParams.rank}.{mpiParams.role}"
        self.elements = np.flatnonzero(mpiParams.mask)[mpiParams.part]
        self.first = user_params["first"]  # counter of the event at T = 0
        self.note("__init__", logger=type(mpiParams.logger).__name__)

    def note(self, called, **facts):
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps([called, facts], default=np.generic.item) + "\n")

    def is_right(self, T, X):
        """Tell whether every row holds what was taken at its time."""
        filled = T != UNFILLED
        wanted = 100 * (T[filled, None] + self.first) + self.elements
        return bool((X[filled] == wanted).all() and not X[~filled].any())

    def arrayNames(self):
        self.note("arrayNames")
        return NAMES

    def initServer(self):
        self.note("initServer")

    def eventOk(self, evt):
        self.note("eventOk", stamp=evt.stamp)
        return evt.stamp % 5 != 0

    def finalDataArray(self, dataArray, evt):
        self.note("finalDataArray", stamp=evt.stamp, data=about(dataArray), first=float(dataArray.flat[0]))
        return None if evt.stamp % 7 == 0 else dataArray

    def initWorker(self, numElementsWorker):
        self.note("initWorker", n=numElementsWorker, type=type(numElementsWorker).__name__)

    def adjustData(self, data):
        t, rest = divmod(float(data[0]) - self.elements[0], 100)
        self.note("adjustData", data=about(data), counter=int(t), right=rest == 0)

    def workerCalc(self, T, numTimesFilled, X):
        right = self.is_right(T, X) and bool((T[numTimesFilled:] == UNFILLED).all())
        times = sorted(int(t) + self.first for t in T[:numTimesFilled])
        self.note("workerCalc", T=about(T), X=about(X), times=times, right=right, order=X.flags.c_contiguous)
        D, n = len(self.delays), len(self.elements)
        processed = self.mpiParams.processed
        self.A = np.arange(1, D + 1)[:, None] * 1000.0 + self.elements
        B = np.full((D, n), -float(processed))
        return {"B": B, "A": self.A}, np.arange(D) + processed, self.elements.astype(np.int8)

    def initViewer(self, mask_ndarrayCoords, h5GroupUser):
        self.note("initViewer", mask=about(mask_ndarrayCoords), name=h5GroupUser and h5GroupUser.name)
        self.mask = mask_ndarrayCoords

    def viewerPublish(self, counts, relsec, name2delay2ndarray, int8array, h5UserGroup):
        elements = np.flatnonzero(self.mask)
        right = not int8array[~self.mask].any() and (int8array[self.mask] == elements).all()
        processed = self.mpiParams.processed
        for name, arrays in name2delay2ndarray.items():
            for d, delay in enumerate(self.delays):
                wanted = (d + 1) * 1000 + elements if name == "A" else -processed
                array = arrays[delay]
                right = right and array.dtype == np.float64 and array.shape == self.mask.shape
                right = right and (array[self.mask] == wanted).all() and not array[~self.mask].any()
        self.note(
            "viewerPublish",
            processed=processed,
            counts=counts.tolist(),
            about=about(counts),
            relsec=relsec,
            keys={name: list(arrays) for name, arrays in name2delay2ndarray.items()},
            types=sorted({type(delay).__name__ for arrays in name2delay2ndarray.values() for delay in arrays}),
            int8=about(int8array),
            right=bool(right),
            name=h5UserGroup and h5UserGroup.name,
        )


class OneByOne(Recorder):
    """Notes what happens to the rows, one by one."""

    def adjustTerms(self, mode, dataIdx, T, X):
        valid = sorted(int(t) + self.first for t in T if t != UNFILLED)
        self.note(
            "adjustTerms",
            add=mode == parcorana.ADD,
            subtract=mode == parcorana.SUBTRACT,
            counter=int(T[dataIdx]) + self.first,
            stored=valid,
            types=[type(dataIdx).__name__, str(T.dtype), *about(X)],
            right=self.is_right(T, X),
        )


class Blocks(OneByOne):
    """The same, many rows at once."""

    def adjustTermsBlock(self, mode, dataIdxs, T, X):
        self.note(
            "adjustTermsBlock",
            add=mode == parcorana.ADD,
            subtract=mode == parcorana.SUBTRACT,
            counters=[int(t) + self.first for t in T[dataIdxs]],
            stored=sorted(int(t) + self.first for t in T if t != UNFILLED),
            types=[*about(dataIdxs)[:1], str(T.dtype), *about(X)],
            right=self.is_right(T, X),
        )


class Reduces(Recorder):
    """Sends small arrays, and full ones as save_arrays says."""

    def workerReduce(self, arrays, counts, int8array):
        same = sorted(arrays) == NAMES and arrays["A"] is self.A
        self.note("workerReduce", same=same, counts=about(counts), int8=about(int8array))
        ones = np.ones((2, 0), np.int64)
        return {"sum": arrays["A"].sum(axis=1), "n": len(self.elements), "empty": ones, "z": np.array(1j)}

    def viewerPublishReduced(self, counts, relsec, reduced, h5UserGroup):
        reduced["sum"] += 0  # it may be changed
        counts += 0
        self.note(
            "viewerPublishReduced",
            processed=self.mpiParams.processed,
            counts=about(counts),
            sum=reduced["sum"].tolist(),
            n=int(reduced["n"]),
            abouts={name: about(np.asarray(array)) for name, array in reduced.items()},
            relsec=relsec,
        )
