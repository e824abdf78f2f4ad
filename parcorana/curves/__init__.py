"""Delay curves: sums per colour, normalizations, fits, intensity over time."""

from parcorana.curves.sums import NORMALIZATIONS, ColorSums, Curve

__all__ = ["NORMALIZATIONS", "ColorSums", "Curve"]
