"""The noise of a delay curve's points: the weights of a fit, the errors of its parameters, and whether it holds.

Errors of the points come from few groups (`parcorana.curves.jackknife`), so their covariance
between many delays is singular. Its correlations, shrunk towards none by the factor of Schaefer
and Strimmer (Statistical Applications in Genetics and Molecular Biology 4, 2005, 32), are the
weights; of few groups they are the errors of the points alone. Errors are right whatever the
weights are, for they follow from the deviations: by the sandwich formula, with each deviation
weighted by what all the others say (as HC3 of MacKinnon and White, Journal of Econometrics 29,
1985, 305). Weights of the same few deviations fit them too well: errors would be too small by up
to a half.
"""

import numpy as np

#: Groups from which on there is a covariance.
FEWEST = 4
_CORRELATED = 16  # groups from which on correlations are known well enough to be weights
_DIGITS = 6  # of deviations: what the division of the work does to the last ones must not reach the fit
_ROUNDED = 10.0**-_DIGITS  # of an error, that a deviation may be off for that
_LEAST = 1e-3  # of the shrinkage, that weights have an end
_BELOW_1 = 1 - 1e-9


def noise_of(curve, good):
    """Return the noise of a curve, and which points count.

    Parameters
    ----------
    curve : parcorana.curves.Curve
        One, (D,).
    good : (D,) bool
        Points that may count. Of a curve with deviations those without are left out.

    Returns
    -------
    noise : Covariance or Independent
    good : (D,) bool
    """
    if curve.deviations is not None and curve.groups >= FEWEST:
        known = np.isfinite(curve.deviations).all(axis=0) & good
        known &= np.where(known, np.abs(curve.deviations).max(axis=0, initial=0), 0) > 0
        if known.any():
            return Covariance(curve.deviations[:, known], int(curve.groups), str(curve.source)), known
    return Independent(np.round(curve.error[good], 9)), good


class Independent:
    """Points as if they were independent ('pixels'), of given errors, or ('scatter') of equal ones.

    Their scatter about the fit says how large these are.

    Parameters
    ----------
    error : (D,) float64
        Not used where one of them is not above 0.
    """

    groups = 0

    def __init__(self, error):
        self.name, self.sigmas = ("pixels", (error,)) if (error > 0).all() else ("scatter", (None,))

    def errors(self, jacobian, residuals):
        """Return the standard errors of parameters, (p,), from derivatives, (D, p), and residuals, (D,)."""
        sigma = 1.0 if self.sigmas[0] is None else self.sigmas[0]
        weighted, left = jacobian / np.reshape(sigma, (-1, 1)), residuals / sigma
        free = len(left) - jacobian.shape[1]
        inverse = np.linalg.inv(np.linalg.qr(weighted, mode="r"))
        return np.sqrt((inverse**2).sum(axis=1) * (left @ left) / free)

    def chi_square(self, jacobian, residuals):
        """Return that there is none: the size of the noise is not known."""
        return np.nan, 0, np.nan


class Covariance:
    """Points that vary together.

    Parameters
    ----------
    deviations : (R, D) float64
        Sums of their products are the covariances, with the factor ``(groups - 1) / (groups - 3)``.
    groups : int
        What the deviations are of.
    source : str
        What these groups are; empty if nobody has said.
    """

    def __init__(self, deviations, groups, source=""):
        self.groups, self.name = groups, source or "covariance"
        self.error = np.array([float(f"{each:.{_DIGITS}e}") for each in np.sqrt((deviations**2).sum(axis=0))])
        self._rows = np.round(deviations / self.error, _DIGITS)
        self.sigmas = (self.error,)
        if groups >= _CORRELATED:
            self._keeps = 1 - _shrinkage(self._rows)
            self._weight = self._keeps * (self._rows.T @ self._rows)
            np.fill_diagonal(self._weight, 1.0)
            self.sigmas += (self._weight * np.outer(self.error, self.error),)  # with the first the search gets near

    def errors(self, jacobian, residuals):
        """Return the standard errors of parameters, (p,), from derivatives, (D, p), and residuals, (D,)."""
        scaled = jacobian / self.error[:, None]
        moved = self._moved(scaled) if len(self.sigmas) == 1 else self._moved_together(scaled)
        return np.sqrt((moved**2).sum(axis=0))

    def _moved(self, scaled):
        """Return by what each row moves the parameters, (R, p), with weights by the size of the others."""
        weights = 1 / np.maximum(1 - self._rows**2, 1 - _BELOW_1)
        seen = (weights * self._rows) @ scaled
        matrices = np.einsum("kd,dp,dq->kpq", weights, scaled, scaled, optimize=True)
        return np.linalg.solve(matrices, seen[:, :, None])[:, :, 0]

    def _moved_together(self, scaled):
        """Return the same with weights by the correlations of the others, whose inverse follows from that of all."""
        rows = self._rows
        solved = np.linalg.solve(self._weight, np.concatenate([scaled, rows.T], axis=1))
        count = scaled.shape[1]
        seen = rows @ solved[:, :count]
        moved = np.linalg.solve(scaled.T @ solved[:, :count], seen.T).T
        own = self._keeps * ((rows * solved[:, count:].T).sum(axis=1) - (seen * moved).sum(axis=1))
        return moved / (1 - np.clip(own, 0, _BELOW_1))[:, None]

    def chi_square(self, jacobian, residuals):
        """Return chi-square, degrees of freedom and p-value of a fit, from derivatives, (D, p), and residuals, (D,).

        Neighbouring points are taken together until there are few against the
        groups. Chi-square is Hotelling's of what is left of them, with the mean
        that deviations have which the others judge: it is the degrees of freedom
        where the model holds. It is NaN, of 0 degrees of freedom, where groups
        do not differ by more than their digits. The p-value is that of the F distribution, for the
        covariance is itself known from so many groups only.
        """
        points, count = jacobian.shape
        known = self.groups - 1
        freedom = min(points - count, max(1, known // 3))
        bins = np.arange(points) * (count + freedom) // points
        together = (bins == np.arange(count + freedom)[:, None]) / self.error
        basis = np.linalg.qr(together @ jacobian, mode="complete")[0][:, count:]  # what no parameter can do
        rows, left = (self._rows * self.error) @ together.T @ basis, residuals @ together.T @ basis
        sizes = np.linalg.svd(rows, compute_uv=False)
        if len(sizes) < freedom or sizes[-1] <= _ROUNDED * np.sqrt(self._rows.size):
            return np.nan, 0, np.nan
        inverse = np.linalg.inv(rows.T @ rows)
        own = (rows @ inverse * rows).sum(axis=1)
        mean = (own / (1 - np.minimum(own, _BELOW_1))).sum() * (known - 2) / known  # without the factor for few groups
        chi_square = freedom * float(left @ inverse @ left) / mean
        rest = known - freedom + 1
        return chi_square, freedom, _above(chi_square / freedom * rest / (rest - 2), freedom, rest)


def _above(value, above, below):
    """Return the chance of a larger one in an F distribution."""
    from scipy.special import fdtrc

    return float(fdtrc(above, below, value))


def _shrinkage(rows):
    """Return by which part correlations shrink: their variance over their squares, from standardized rows, (R, D)."""
    count = len(rows)
    squares = rows**2
    few = rows if count < rows.shape[1] else rows.T
    correlations = ((few @ few.T) ** 2).sum() - (squares.sum(axis=0) ** 2).sum()
    if correlations <= 0:
        return 1.0
    spread = (squares.sum(axis=1) ** 2).sum() - (squares**2).sum()
    return float(np.clip(count / (count - 1) * (spread - correlations / count) / correlations, _LEAST, 1.0))
