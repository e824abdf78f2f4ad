"""What the data state of the instrument, beside what was given by hand and what a geometry knows."""

import os
from dataclasses import replace

import numpy as np

from parcorana.detector.geometry import KEV_ANGSTROM
from parcorana.errors import ConfigError, put, warn
from parcorana.events.open import open_described

_APART = 0.01  # of a length, by which what is given is not what is known
_SAME = 1e-4  # of a number: less is how it was rounded
_LENGTHS = (("distance", "mm"), ("pixel", "um"))


def need_for_q(wavelength, distance, pixel, source=None, doubts=(), master=None):
    """Raise ConfigError that names all that rings of q need and is not known.

    Parameters
    ----------
    wavelength, distance, pixel : float, bool or None
        What is known, or whether it may be.
    source : str, optional
        Of the file that was asked, too.
    doubts : tuple of str, optional
        What that states, but cannot be.
    master : str, optional
        Of the file, which is a data file of a series.
    """
    given = {"--wavelength or --energy": wavelength, "--distance": distance, "--pixel": pixel}
    if missing := [option for option, value in given.items() if not value]:
        asked = f", which {source} does not state" if source else ""
        asked += f"; its master, {os.path.basename(master)}, may" if master else ""
        asked += f" so that it can be used: {'; '.join(doubts)}" if doubts else ""
        raise ConfigError(f"--by q needs {', '.join(missing)}{asked}")


def check_for_q(args, run):
    """Raise ConfigError if rings of q need what neither the arguments nor the files of ``h5=`` tell."""
    if run.dataset.is_live:  # they may not be there yet
        return
    from parcorana.events.hdf5.series import master_of

    source = open_described(run, log=lambda line: None)
    try:
        stated = source.instrument()
    finally:
        source.close()
    by_file = args.geometry  # which knows both
    wavelength, distance, pixel = args.wavelength or args.energy, args.distance or by_file, args.pixel or by_file
    need_for_q(
        wavelength or stated.energy,
        distance or stated.distance,
        pixel or stated.pixel,
        stated.source,
        stated.doubts,
        master_of((run.dataset.names or (run.dataset.name,))[0]),
    )


def completed(geometry, stated):
    """Return a geometry with what the data state where it does not know by itself; say so.

    Parameters
    ----------
    geometry : parcorana.detector.geometry.Geometry
    stated : parcorana.detector.instrument.Instrument or None
    """
    if stated is None:
        return geometry
    known = {
        "photon energy": stated.text("energy"),
        "distance": stated.text("distance"),
        "pixel": stated.text("pixel"),
        "beam": stated.text("beam") if stated.beam == geometry.beam else "",
    }
    if any(known.values()):
        put(f"instrument: {stated.source}: {', '.join(f'{name} {text}' for name, text in known.items() if text)}")
    for doubt in stated.doubts:
        warn(f"{stated.source}: {doubt}; it is not used")
    for name, unit in _LENGTHS:
        own, other = getattr(geometry, name), getattr(stated, name)
        if own and other and abs(own - other) > _APART * other:
            warn(
                f"{name} is {own:g} {unit} by the {geometry.source}, {other:g} {unit} by {stated.source}; "
                "the former holds",
            )
    lengths = {name: getattr(geometry, name) or getattr(stated, name) for name, _ in _LENGTHS}
    return replace(geometry, **lengths, stated=stated)


def wavelength_of(args, geometry):
    """Return the wavelength [1e-10 m] that is given, or else stated; None if neither."""
    if args.energy:
        return KEV_ANGSTROM / args.energy
    stated = geometry.stated and geometry.stated.energy
    return args.wavelength or (KEV_ANGSTROM / stated if stated else None)


def center_of(geometry):
    """Return what the place of the beam is called where it was not given."""
    if not geometry.beam:
        return "the middle of the image"
    stated = geometry.stated is not None and geometry.beam == geometry.stated.beam
    return f"as {geometry.stated.source} states" if stated else "the geometry's origin"


def say_center(args, geometry):
    """Say where the beam is by the data, if another place was given."""
    if args.center and geometry.beam and not np.allclose(args.center, geometry.beam, rtol=0, atol=_SAME):
        put(
            "rings: --center {:g},{:g} given by hand; {:g},{:g} ".format(*args.center, *geometry.beam)
            + center_of(geometry)
        )


def say_lengths(args, geometry):
    """Say where lengths and energy that are given are not those that the data or a geometry know."""
    stated = geometry.stated
    energy = stated and stated.energy
    for option, given, known, name, unit in (
        ("--distance", args.distance, geometry.distance, "distance", "mm"),
        ("--pixel", args.pixel, geometry.pixel, "pixel", "um"),
        ("--energy", args.energy, energy, "energy", "keV"),
        ("--wavelength", args.wavelength, energy and KEV_ANGSTROM / energy, "energy", "angstrom"),
    ):
        if not given or not known or abs(given - known) <= _SAME * known:
            continue
        is_stated = stated is not None and (name == "energy" or known == getattr(stated, name))
        whose, far = stated.source if is_stated else "the geometry", abs(given - known) > _APART * known
        if far or is_stated:
            text = f"{option} {given:g} {unit} given by hand; {whose} says {known:g} {unit}; {option} holds"
            warn(text) if far else put(f"rings: {text}")
