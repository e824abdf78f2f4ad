"""A result as an object: curves as arrays, tables, pictures."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parcorana.curves.curvefile import path_of_sums
from parcorana.curves.fits import Fit
from parcorana.errors import ConfigError, printable, shown
from parcorana.files.plain import plain_file
from parcorana.results.kinds import CURVES, PHOTONS, TWO_TIME, kinds_in
from parcorana.results.leverage import Leverage, read_leverage
from parcorana.results.photons import Photons, read_photons
from parcorana.results.reading import Result, find_file, group_of, read_result, updates_in
from parcorana.results.twotime import TwoTimeResult, read_two_time

if TYPE_CHECKING:  # it takes a second to load, and most jobs draw nothing
    from parcorana.view.texts import Picture

_NO_CURVES = "has no delay curves"
_NOTHING = "holds no delay curves, two times or photon statistics of a shipped class"


class OpenedResult:
    """One update of a result: what `parcorana.open_result`, `run` and `correlate` return.

    Of C colours and D delays. In a notebook it shows itself as a picture.

    Attributes
    ----------
    path : str
        Of the file.
    processed : int
        Events, at the update.
    complete : bool
        Whether the run came to its end.
    ended_by : str
    account : dict of str to int
        What became of the events.
    mask : (detector's shape) bool
    two_time : TwoTimeResult or None
        `ages`, `width`, `maps`, `g2` by colour, `cut`.
    photons : Photons or None
        `exposures`, `counts` and `numbers` by colour.
    """

    def __init__(
        self,
        path: str,
        result: Result | None,
        two_time: TwoTimeResult | None,
        photons: Photons | None,
        facts: dict[str, Any],
        keeps: Any = None,
    ) -> None:
        self.path, self._result, self.two_time, self.photons = path, result, two_time, photons
        self._keeps = keeps  # a folder that is there as long as this is
        self.complete, self.ended_by = bool(facts["complete"]), str(facts["ended_by"])
        self.account: dict[str, int] = facts["account"]
        self.mask: NDArray[np.bool_] = facts["mask"]
        made = (each.processed for each in (result, two_time, photons) if each is not None)
        self.processed: int = next(made, self.account["processed"])

    @property
    def _curves(self) -> Result:
        if self._result is None:
            raise AttributeError(f"{self.path} {_NO_CURVES}: look at two_time or photons")
        return self._result

    @property
    def rate(self) -> float:
        """Pulses per second."""
        of = self._result or self.two_time
        if of is None:
            raise AttributeError(f"{self.path} {_NO_CURVES}, nor two times")
        return of.rate

    @property
    def delays(self) -> NDArray[np.int64]:
        """(D,) int64 [pulses]."""
        return self._curves.delays

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(D,) float64 [s]: the delays."""
        return self._curves.delays / self._curves.rate

    @property
    def counts(self) -> NDArray[np.int64]:
        """(D,) int64: pairs of each delay."""
        return self._curves.counts

    @property
    def colors(self) -> NDArray[np.int64]:
        """(C,) int64."""
        return np.array(list(self._curves.curves), np.int64)

    def _table(self, name: str) -> NDArray[Any]:
        curves = self._curves.curves.values()
        return np.array([getattr(curve, name) for curve in curves]).reshape(len(curves), len(self.delays))

    @property
    def g2(self) -> NDArray[np.float64]:
        """(C, D) float64: NaN where there is no pair or no element."""
        return self._table("g2")

    @property
    def error(self) -> NDArray[np.float64]:
        """(C, D) float64: standard error; NaN where the normalization gives none."""
        return self._table("error")

    @property
    def elements(self) -> NDArray[np.int64]:
        """(C, D) int64: elements that counted."""
        return self._table("elements")

    @property
    def q(self) -> NDArray[np.float64]:
        """(C,) float64 [1/angstrom]: NaN where it is not known."""
        table = self._curves.table
        return np.full(len(self.colors), np.nan) if table is None else table.q(self.colors)

    @property
    def fits(self) -> dict[int, Fit]:
        """`parcorana.fits.Fit` by colour; empty where none was asked for."""
        return self._curves.fits

    @property
    def tau(self) -> NDArray[np.float64]:
        """(C, 2) float64 [s]: decay time of each colour's fit, and its error; NaN where there is none."""
        fits = [self._curves.fits.get(int(c)) for c in self.colors]
        return np.array([(fit.tau, fit.tau_err) if fit is not None else (np.nan, np.nan) for fit in fits]) / self.rate

    @property
    def intensity(self) -> dict[int, NDArray[np.float64]]:
        """Mean intensity of each stretch of the run, by colour."""
        return self._curves.intensity

    @property
    def said(self) -> str:
        """What the normalization, or rounding, gets wrong; empty if nothing to speak of."""
        return self._curves.bias

    @property
    def leverage(self) -> Leverage:
        """The elements that pull the curves most: `elements`, `colors`, `delays`, `changes`, ..., and maps.

        Raises
        ------
        ConfigError
            The update has none.
        """
        with plain_file(self.path) as file:
            group = updates_in(file, self.path, self._curves.of)[self.processed]
            return read_leverage(group, self.path, self.mask.shape)

    def array(self, name: str, delay: int) -> NDArray[np.float64]:
        """Return a full array, of the detector's shape: 'G2', 'IP' or 'IF' of a delay [pulses].

        Raises
        ------
        ConfigError
            The file has none, or not of that delay.
        """
        with plain_file(self.path) as file:
            group = updates_in(file, self.path, self._curves.of)[self.processed]
            place = path_of_sums(name, int(delay))
            if place not in group:
                raise ConfigError(
                    f"{self.path}: there is no {name} of the delay {delay}: save_arrays says which updates have arrays"
                )
            found: NDArray[np.float64] = group[place][:]
            return found

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame, a row for each colour and delay.

        Columns: color, delay [pulses], seconds, q [1/angstrom], g2, error, counts, elements.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_dataframe needs pandas: pip install pandas") from None
        colors, delays = len(self.colors), len(self.delays)
        return pd.DataFrame(
            {
                "color": np.repeat(self.colors, delays),
                "delay": np.tile(self.delays, colors),
                "seconds": np.tile(self.seconds, colors),
                "q": np.repeat(self.q, delays),
                "g2": self.g2.ravel(),
                "error": self.error.ravel(),
                "counts": np.tile(self.counts, colors),
                "elements": self.elements.ravel(),
            }
        )

    def plot(self, colors: Iterable[int] | None = None, tau_q: bool = False) -> "Picture":
        """Return a Matplotlib figure: curves, intensity, pairs and account; or two times; or photon statistics.

        Parameters
        ----------
        colors : sequence of int, optional
            Only these.
        tau_q : bool
            The decay times of the fits against q, with their power law, instead.
        """
        from parcorana.view import photons, pictures, texts, times, twotime

        def figure(size):
            return texts.Picture(figsize=size, layout="constrained")

        chosen = None if colors is None else [int(c) for c in colors]
        if tau_q:
            times.draw_tau_q((drawn := figure((8, 7))).add_subplot(), [self._curves])
        elif self._result is not None:
            pictures.draw_result(drawn := figure((12, 8)), [self._result], chosen)
        elif self.two_time is not None:
            twotime.draw_two_time(drawn := figure(twotime.SIZE), self.two_time, chosen)
        elif self.photons is not None:
            photons.draw_photons(drawn := figure(photons.SIZE), self.photons, chosen)
        else:
            raise AttributeError(f"{self.path} {_NOTHING}: read it with h5py")
        return drawn

    def _repr_png_(self) -> bytes | None:
        if all(part is None for part in (self._result, self.two_time, self.photons)):
            return None
        drawn: bytes = self.plot()._repr_png_()
        return drawn

    def __repr__(self) -> str:
        kinds = {"delay curves": self._result, "two times": self.two_time, "photon statistics": self.photons}
        has = ", ".join(name for name, part in kinds.items() if part is not None) or "of a class of its own"
        state = "complete" if self.complete else f"not complete: {self.ended_by}"
        return printable(f"<result {self.path}: {has}, {self.processed:,} events, {state}>")


def open_result(
    path: str | os.PathLike[str], at: int | None = None, of: str | None = None, keeps: Any = None
) -> OpenedResult:
    """Open a result file, or the last update of a run that goes on.

    Parameters
    ----------
    path : str or Path
    at : int, optional
        Events processed at the update that is wanted; the last one without it.
    of : str, optional
        Which of several classes; without it the first one with delay curves, and two times and photon statistics
        beside it where one class has each.
    keeps : object, optional
        What has to live as long as the result.

    Raises
    ------
    ConfigError
        It is no result, or has no such update or class. What a class of one's own has written is for h5py: of such a
        result there are `path`, `account`, `mask` and how it ended.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"open_result: it takes the name of a file, not {shown(path)}")
    label = Path(path).name
    source = find_file(path, at)
    with plain_file(source) as file:
        there = kinds_in(file, label, of)
        curves, times, counted = (
            [name for name, kinds in there.items() if kind in kinds] for kind in (CURVES, TWO_TIME, PHOTONS)
        )
        if not (curves or times or counted) and (at is not None or of is not None):
            raise ConfigError(f"{label}: it {_NOTHING}")
        result = read_result(file, label, at, curves[0]) if curves else None
        if result is not None:
            result.of = curves[0]
        system = file["system"]
        facts = {
            "complete": system.attrs["complete"],
            "ended_by": system.attrs["ended_by"],
            "account": {name: int(number) for name, number in system["accounting"].attrs.items()},
            "mask": system["mask"][:] != 0,
        }
        return OpenedResult(
            str(source),
            result,
            read_two_time(group_of(file, label, times[0]), label, at) if times else None,
            read_photons(group_of(file, label, counted[0]), label, at) if counted else None,
            facts,
            keeps,
        )
