"""Ranks watch each other."""
