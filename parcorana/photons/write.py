"""What an update of photon statistics says, in the file and in the log."""

import numpy as np

from parcorana.curves.contrast import LEAST, contrast_of, from_ratio, with_error
from parcorana.detector.colortable import attributes_of
from parcorana.files.datasets import write_dataset

_SAID = {
    "counts": "how often an element had 0, 1, ... kmax photons in a window, and more",
    "mean": "mean photons of an element in a window",
    "contrast": "contrast of the negative binomial, by maximum likelihood; biased where speckle moves within a window",
    "contrast_err": "its standard error",
    "contrast_corrected": "contrast without the variance from pulse to pulse: (1 + contrast) / (1 + r) - 1",
    "contrast_unrelated": "contrast of sums of two windows far apart in time; half the contrast if all is well",
    "pulse_variance": "r: relative variance of the colour's mean from window to window, less that of its photons",
}
_ERROR = {
    "time blocks": "jackknife over stretches of the run, at least that of independent elements",
    "pixels": "of independent elements and windows: too few stretches of the run for the jackknife",
}


def statistics(update, variance):
    """Return the results of an update, (S, C, ...) arrays by name.

    Parameters
    ----------
    update : dict
        What the workers counted: 'counts' (P, S, C, kmax + 2), 'photons' (P, S, C), and of unrelated windows.
    variance : (S, C) float64
        From pulse to pulse.
    """
    counts = update["counts"].sum(axis=0)
    if not len(update["counts"]):  # no event yet
        update = update | {"counts": counts[None], "photons": update["photons"].sum(axis=0)[None]}
    contrast, error, mean, stretches = with_error(update["counts"], update["photons"])
    unrelated = contrast_of(update["unrelated.counts"], update["unrelated.photons"])[0]
    return {
        "counts": counts,
        "mean": mean,
        "contrast": contrast,
        "contrast_err": error,
        "contrast_corrected": (1 + contrast) / np.where(variance > -1, 1 + variance, np.nan) - 1,
        "contrast_unrelated": unrelated,
        "pulse_variance": variance,
        "low": from_ratio(counts, mean),
        "stretches": stretches,
    }


def write(group, about, colors, found, rate, stands_for=None):
    """Write the datasets of an update, a set for each colour."""
    group.attrs["photon"], group.attrs["threshold"], group.attrs["kmax"] = about.photon, about.threshold, about.kmax
    exposures = np.array(about.exposures, np.int64)
    write_dataset(group, "exposures", exposures, "pulses", f"lengths of windows; one pulse is 1/{rate} s", rate=rate)
    for c, color in enumerate(colors.tolist()):
        more = attributes_of(stands_for, c)
        for name, said in _SAID.items():
            about_it, units = dict(more), "1" if name != "mean" else "photons"
            if name == "contrast":
                about_it["from_ratio"] = found["low"][:, c]  # of N(2) and N(1): right for few photons
            elif name == "contrast_unrelated":
                about_it["expected"] = found["contrast"][:, c] / 2
            elif name == "contrast_err":
                enough = found["stretches"][:, c].min() >= LEAST
                about_it["error_from"] = source = "time blocks" if enough else "pixels"
                about_it["stretches"] = found["stretches"][:, c]
                said = f"{said}: {_ERROR[source]}"
            write_dataset(group, f"{name}_color_{color}", found[name][:, c].copy(), units, said, **about_it)


def warnings(about, colors, found, not_whole):
    """Yield what a user should know: a key, so that it is said once, and a sentence."""
    counts = found["counts"].astype(np.float64)
    if counts.size:
        with np.errstate(divide="ignore", invalid="ignore"):
            more = np.nan_to_num(counts[..., -1] / counts.sum(axis=-1))
        slot, c = np.unravel_index(more.argmax(), more.shape)
        if more[slot, c] > 0.01:
            yield (
                "kmax",
                (
                    f"{100 * more[slot, c]:.1f}% of the elements of colour {colors[c]} have more than "
                    f"kmax={about.kmax} photons in {about.exposures[slot]} pulses: the contrast knows of them "
                    "only that they are more; set user_params['kmax'] higher"
                ),
            )
        few = found["stretches"].min()
        if 0 < few < LEAST:
            yield (
                "few",
                (
                    f"only {few} stretches of the run have windows of every exposure: errors of the contrast take "
                    "elements and windows for independent, and may be too small"
                ),
            )
        if not counts.sum():
            yield "none", "no window has been counted: exposures are longer than what was taken without gaps"
        elif not found["mean"][np.isfinite(found["mean"])].any():
            yield (
                "dark",
                (
                    f"no element has a photon: is one photon {about.photon:g} units, "
                    f"and the threshold {about.threshold:g}?"
                ),
            )
    if not_whole is not None and not_whole[0] >= 100 and not_whole[1] > 0.1 * not_whole[0]:
        yield (
            "whole",
            (
                f"{100 * not_whole[1] / not_whole[0]:.0f}% of the values of elements with light are further than a "
                f"quarter from a multiple of photon={about.photon:g}: is that the value of one photon? Where "
                f"pixels share "
                "its charge, let the servers find photons (system_params['photons'])"
            ),
        )
