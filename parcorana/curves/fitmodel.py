"""The exponentials that are fitted to delay curves: values, derivatives, and where a search begins."""

import math

import numpy as np

from parcorana.curves.fitchoice import PARAMETERS, TIMES

FORMULAS = {
    "single": "baseline + contrast exp(-2 (d / tau)^exponent)",
    "stretched": "baseline + contrast exp(-2 (d / tau)^exponent)",
    "double": "baseline + contrast exp(-2 d / tau) + contrast_slow exp(-2 d / tau_slow)",
}
_GONE = 6.0  # of a logarithm: exp(-2 exp(6)) is 0
_APART = 3.0  # factor from the decay time at which a search for two of them begins
_AT = 1e-3  # of a bound's width, as near as which a search that cannot go on may end


class Model:
    """What a `Choice` asks for, as a function of the parameters that are free; of times their logarithms.

    Parameters
    ----------
    choice : parcorana.curves.fitchoice.Choice
    """

    def __init__(self, choice):
        self._choice, self.free = choice, choice.free

    def __call__(self, x, *inner):
        """Return g2 at delays x [pulses]."""
        p = self._of(inner)
        return p["baseline"] + sum(p[contrast] * decay for contrast, _, decay, _, _ in self._parts(x, p))

    def jacobian(self, x, *inner):
        """Return the derivatives, (len(x), free)."""
        p = self._of(inner)
        found = {"baseline": np.ones_like(x)}
        for contrast, time, decay, u, log_ratio in self._parts(x, p):
            found[contrast] = decay
            found[time] = 2 * p[contrast] * decay * u * p.get("exponent", 1.0)
            found["exponent"] = -2 * p[contrast] * decay * u * log_ratio
        return np.stack([found[name] for name in self.free], axis=1)

    def parameters(self, inner):
        """Return all parameters by name, times in pulses."""
        return {name: _outer(name, value) for name, value in self._of(inner).items()}

    def start(self, x, g2):
        """Return where a search begins, in the bounds."""
        given = {**self._choice.fixed, **self._choice.start}
        baseline = given.get("baseline", g2[-1])
        contrast = g2[0] - baseline
        half = x[np.argmin(np.abs(g2 - baseline - contrast / 2))]
        tau = 2 * half / math.log(2)
        first = {"baseline": baseline, "contrast": contrast, "tau": tau, "exponent": 1.0}
        if self._choice.kind == "double":
            first |= {"contrast": contrast / 2, "contrast_slow": contrast / 2}
            first |= {"tau": tau / _APART, "tau_slow": tau * _APART}
        inner = [_inner(name, (first | given)[name]) for name in self.free]
        return np.clip(inner, *self.limits())

    def limits(self):
        """Return the least and the largest values, (2, free)."""
        ends = [self._choice.bounds.get(name, (-math.inf, math.inf)) for name in self.free]
        return np.array([[_inner(name, pair[k]) for name, pair in zip(self.free, ends, strict=True)] for k in (0, 1)])

    def at_limits(self, inner):
        """Return which parameters are held by a bound, (free,) bool."""
        low, high = self.limits()
        with np.errstate(invalid="ignore"):
            near = _AT * np.where(np.isfinite(high - low), high - low, 1.0)
        return (inner - low < near) | (high - inner < near)

    def _of(self, inner):
        values = dict(zip(self.free, inner, strict=True))
        return values | {name: _inner(name, value) for name, value in self._choice.fixed.items()}

    def _parts(self, x, p):
        """Return names of contrast and time of each decay, it itself, (d / tau)^exponent and log(d / tau)."""
        made, names = [], PARAMETERS[self._choice.kind]
        for contrast, time in (("contrast", "tau"), ("contrast_slow", "tau_slow")):
            if time in names:
                log_ratio = np.log(x) - p[time]
                u = np.exp(np.minimum(p.get("exponent", 1.0) * log_ratio, _GONE))
                made.append((contrast, time, np.exp(-2 * u), u, log_ratio))
        return made


def _inner(name, value):
    if name not in TIMES:
        return value
    return math.log(value) if value > 0 else -math.inf


def _outer(name, value):
    return float(np.exp(np.clip(value, -700, 700)) if name in TIMES else value)
