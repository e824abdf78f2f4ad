"""Photon statistics: how often an element has so many photons, and the contrast that follows."""

from parcorana.photons.statistics import PhotonStatistics

__all__ = ["PhotonStatistics"]
