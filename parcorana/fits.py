"""Fits of delay curves: the public name of `parcorana.curves.fits`."""

from parcorana.curves.fits import Fit, check_kind, fit_curve, fit_curves, write

__all__ = ["Fit", "check_kind", "fit_curve", "fit_curves", "write"]
