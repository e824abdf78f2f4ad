"""Multi-tau correlation: delays over many orders of magnitude in little memory."""

from parcorana.multitau.calculation import MultiTauG2

__all__ = ["MultiTauG2"]
