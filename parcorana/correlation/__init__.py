"""Correlation in time: rolling buffer, delays, plans of the kernel."""
