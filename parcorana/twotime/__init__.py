"""Two-time correlation: how the correlation of two events depends on both of their times."""

from parcorana.twotime.twotime import TwoTime

__all__ = ["TwoTime"]
