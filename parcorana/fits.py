"""Fits of delay curves."""

from parcorana.curves.fits import Fit, fit_curve, fit_curves

__all__ = ["Fit", "fit_curve", "fit_curves"]
