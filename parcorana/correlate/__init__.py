"""Correlation in time: rolling buffer, delays, lines, G2."""
