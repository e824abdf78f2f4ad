"""What the data state of the instrument, beside what the config says: lines of ``--check``, warnings of every run."""

import numpy as np

from parcorana.detector.geometry import KEV_ANGSTROM
from parcorana.detector.instrument import alike, reasons
from parcorana.g2.parameters import number_of


def stated_by(source, config):
    """Return what the data state, and what there is to say of it, before a run.

    Parameters
    ----------
    source : EventSource
        Of the first server.
    config : parcorana.job.config.Config

    Returns
    -------
    instrument : parcorana.detector.instrument.Instrument or None
        Without its arrays; None if nothing is stated.
    warnings : list of str
        What makes a result wrong.
    lines : list of str
        For ``--check``.
    """
    ask = getattr(source, "instrument", None)
    instrument = ask() if ask is not None else None
    if not instrument:
        return None, [], []
    warnings = [text for text in (_rate(instrument, config), _bad(instrument, config)) if text]
    return instrument.without_arrays, warnings, _block(instrument, config)


def _rate(instrument, config):
    """Return a warning if frames count as pulses, but come at another rate than the config says."""
    if not instrument.by_frames or not instrument.frame_time or alike(config.rate * instrument.frame_time, 1.0):
        return None
    return (
        f"rate={config.rate} Hz, but frames count as pulses, and {instrument.source} says that they come "
        f"{_seconds(instrument.frame_time)} apart: delays in seconds are wrong; set 'rate': "
        f"{1 / instrument.frame_time:.6g}"
    )


def _bad(instrument, config):
    """Return a warning if the mask includes elements that the detector itself calls bad."""
    bad = instrument.left_out()
    if bad is None or not (some := bad & config.mask).any():
        return None
    first = np.argwhere(some)[0].tolist()
    return (
        f"mask: {str(config.system_params['mask'])!r} includes {np.count_nonzero(some):,} elements, as {first}, that "
        f"the detector itself calls bad ({reasons(instrument.bad, some)}; {instrument.places['bad']} of "
        f"{instrument.source}): leave them out, as parCorAnaMaskColorTool start does"
    )


def _seconds(seconds):
    units = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
    unit = next((unit for unit, size in units.items() if seconds >= size), "us")
    return f"{seconds / units[unit]:.6g} {unit}"


def _block(instrument, config):
    """Return a short table of what is stated, and what may be made of it."""
    rows, here = [], instrument
    if here.energy:
        rows.append(("energy", f"{here.text('energy')}, {KEV_ANGSTROM / here.energy:.6g} angstrom", "energy"))
    rows += [(name, text, name) for name in ("distance", "pixel", "beam") if (text := here.text(name))]
    if here.frame_time:
        rows.append(("frame time", _seconds(here.frame_time) + _rate_of(here, config), "frame_time"))
    if here.count_time:
        rows.append(("count time", _seconds(here.count_time), "count_time"))
    if here.limit:
        name = "saturation" if here.saturation else "bits"
        text = f"from {here.limit:,.10g} counts on" if here.saturation else f"{here.bits} bits"
        rows.append((name, text + _saturated(here, config), name))
    if here.bad is not None:
        bad = here.left_out()
        within = f"{np.count_nonzero(bad & config.mask):,} of them in the mask"
        text = f"{np.count_nonzero(bad):,} of {bad.size:,} elements ({reasons(here.bad, bad) or 'none'}), {within}"
        rows.append(("bad pixels", text, "bad"))
    if here.announced is not None and here.found is not None:
        lacking = max(here.announced - here.found, 0)
        missing = f", {lacking:,} missing" if lacking else ""
        text = f"{here.announced:,} were to be taken, {here.found:,} are there{missing}"
        rows.append(("images", text, "announced"))
    lines = [f"{here.source} states:" if rows else f"{here.source} states nothing that can be used:"]
    lines += [f"  {name:11} {text} ({here.places[place]})" for name, text, place in rows]
    return lines + [f"  not used: {doubt}" for doubt in here.doubts]


def _rate_of(instrument, config):
    """Return what the frame time says of the config's rate."""
    if not instrument.by_frames:
        return ""
    hertz = f"{1 / instrument.frame_time:.6g}"
    if alike(config.rate * instrument.frame_time, 1.0):
        return f", {hertz} Hz, as the config's rate"
    return f": the config's rate is {config.rate} Hz, the frame time says {hertz} Hz: set 'rate': {hertz}"


def _saturated(instrument, config):
    """Return what the limit says of `saturated_value`."""
    classes = [own.user_class for own in config.classes.values()] or [config.user_class]
    if not any("saturated_value" in (getattr(each, "takes_params", None) or ()) for each in classes):
        return ""
    if config.photons is not None:
        return ", of the data as they come: saturated_value is in photons"
    given, limit = number_of(config.user_params, "saturated_value"), f"{instrument.limit:.17g}"
    if given is None:
        return f": set user_params['saturated_value'] to {limit}, which is not set"
    if given > instrument.limit:
        return f": user_params['saturated_value'] is {given:.17g}, and so finds fewer; set it to {limit}"
    return f"; user_params['saturated_value'] is {given:.17g}"
