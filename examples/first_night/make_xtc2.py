"""Make a run of LCLS-II as xtc2 files, of a sample whose diffusion coefficient is known (docs/first-night.md).

A jungfrau of one panel and a monitor, gmd, at 120 pulses per second. Needs psana::

    python make_xtc2.py FOLDER

Into FOLDER go the run, its small data, and what the facility has in its database:
``geometry.data``, ``pedestals.npy``, ``gain.npy``. 400 frames take 420 MB, and some seconds.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from sample import GLYCEROL, PIXEL, WAVELENGTH, Sample, add_size, q_of, sase_pulses

EXPERIMENT, RUN = "simx00126", 7
RATE = 120.0  # pulses per second
DISTANCE = 10.0  # m
TUBE = 12e-3  # m: no light farther from the beam than the wall of the flight tube lets through
PANEL = (1, 512, 1024)
ADU_PER_KEV = 41.5
NOISE = 20.0  # ADU
LARGEST = 0x3FFF  # the two bits above are the gain range
# psana knows detectors by their type and the version of their interface: the classes jungfrau_raw_0_1_0, gmd_raw_2_1_0.
# The beam is off the panel's middle: the origin of IP is the sample.
GEOMETRY = f"""\
# HDR PARENT IND OBJECT IND X0[um] Y0[um] Z0[um] ROT-Z ROT-Y ROT-X TILT-Z TILT-Y TILT-X
JFCAMERA:V1 0 JUNGFRAU:V2 0 0 0 0 90 0 0 0.0 0.0 0.0
IP:V1 0 JFCAMERA:V1 0 -3000 2000 {DISTANCE * 1e6:.0f} 0 0 0 0.0 0.0 0.0
"""


class Run:
    """The file of a run: its configuration, then transitions and events."""

    def __init__(self, file, start):
        from psana.dgramedit import AlgDef, DetectorDef, DgramEdit
        from psana.psexp import TransitionId

        self._edit, self._kinds, self._file, self._ns = DgramEdit, TransitionId, file, start
        self._room = bytearray(2 * np.prod(PANEL) + 2**20)
        self._config = DgramEdit(transition_id=TransitionId.Configure, ts=self._time())
        self.detectors = {
            name: self._config.Detector(
                DetectorDef(name, name, f"{name}0"), AlgDef(alg, *version), fields, nodeId=1, namesId=k, segment=0
            )
            for k, (name, alg, version, fields) in enumerate(
                (
                    ("runinfo", "runinfo", (0, 0, 1), {"expt": (str, 1), "runnum": (np.uint32, 0)}),
                    ("jungfrau", "raw", (0, 1, 0), {"raw": (np.uint16, 2)}),
                    ("gmd", "raw", (2, 1, 0), {"milliJoulesPerPulse": (np.float32, 0)}),
                )
            )
        }
        self._write(self._config)

    def _time(self):
        seconds, nanoseconds = divmod(self._ns, 10**9)
        return seconds << 32 | nanoseconds

    def _write(self, datagram):
        datagram.save(self._room)
        self._file.write(memoryview(self._room)[: datagram.size])
        self._ns += 1

    def add(self, kind, *data, at=None):
        """Write a datagram of the kind of `TransitionId`, with these detectors' data, at a time [ns]."""
        self._ns = at or self._ns
        datagram = self._edit(transition_id=getattr(self._kinds, kind), config_dgramedit=self._config, ts=self._time())
        for one in data:
            datagram.adddata(one)
        self._write(datagram)


def write_run(path, frames, monitor):
    """Write one run.

    Parameters
    ----------
    path : path
    frames : iterable of (1, 512, 1024) uint16
    monitor : (n,) float [mJ]
    """
    start = 10**18  # ns since 1990
    with open(path, "wb") as file:
        run = Run(file, start)
        info, jungfrau, gmd = (run.detectors[name] for name in ("runinfo", "jungfrau", "gmd"))
        info.runinfo.expt, info.runinfo.runnum = EXPERIMENT, RUN
        run.add("BeginRun", info.runinfo)
        run.add("BeginStep")
        run.add("Enable")
        for k, (frame, energy) in enumerate(zip(frames, monitor, strict=True), 1):
            jungfrau.raw.raw, gmd.raw.milliJoulesPerPulse = frame[0], float(energy)
            run.add("L1Accept", jungfrau.raw, gmd.raw, at=start + round(k * 1e9 / RATE))
        for kind in ("Disable", "EndStep", "EndRun"):
            run.add(kind)


def radius_of_panel(geometry):
    """Return how far from the beam each pixel is, (1, 512, 1024) [m], by psana's geometry in a file."""
    from psana.pscalib.geometry.GeometryAccess import GeometryAccess

    x, y, _ = GeometryAccess(str(geometry)).get_pixel_coords()
    return np.hypot(x, y).reshape(PANEL) * 1e-6


def as_read_out(photons, lit, pedestals, seed):
    """Yield what the panel sends, (1, 512, 1024) uint16: counts of the first gain range.

    `photons` are those of the pixels that are `lit`, bool.
    """
    rng = np.random.default_rng([seed, 5])
    gain = np.float32(12.398 / WAVELENGTH * ADU_PER_KEV)  # of a photon
    for counts in photons:
        frame = pedestals + np.float32(NOISE) * rng.standard_normal(PANEL, np.float32)
        frame[lit] += gain * counts
        yield np.clip(np.rint(frame), 0, LARGEST).astype(np.uint16)


def main():
    """Write the run and its constants; say what is in it."""
    parser = argparse.ArgumentParser(
        description="Make an LCLS-II run of a sample whose diffusion coefficient is known."
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="made if it does not exist")
    add_size(parser, frames=400)
    args = parser.parse_args()
    try:
        import psana
    except ImportError:
        sys.exit("make_xtc2.py: psana of LCLS-II is not installed: pip install 'parcorana[psana]'")
    (args.folder / "smalldata").mkdir(parents=True, exist_ok=True)
    geometry = args.folder / "geometry.data"
    geometry.write_text(GEOMETRY, encoding="utf-8")
    pedestals = np.random.default_rng([args.seed, 6]).normal(2700, 30, (3, *PANEL)).astype(np.float32)
    np.save(args.folder / "pedestals.npy", pedestals)
    gain = np.empty((3, *PANEL), np.float32)
    gain[...] = np.array([ADU_PER_KEV, -1.5, -0.11]).reshape(3, 1, 1, 1)  # ADU/keV of the three ranges
    np.save(args.folder / "gain.npy", gain)

    radius = radius_of_panel(geometry)
    lit = radius < TUBE
    sample = Sample(q_of(radius[lit], DISTANCE), args.frames, RATE, GLYCEROL, args.mean, args.seed)
    pulses, monitor = sase_pulses(args.frames, args.seed)
    name = f"{EXPERIMENT}-r{RUN:04d}-s000-c000"
    path = args.folder / f"{name}.xtc2"
    write_run(path, as_read_out(sample.photons(pulses), lit, pedestals[0], args.seed), monitor)
    smdwriter = Path(psana.__file__).parents[1] / "bin" / "smdwriter"
    small = args.folder / "smalldata" / f"{name}.smd.xtc2"
    subprocess.run([smdwriter, "-f", path, "-o", small], check=True, stdout=subprocess.DEVNULL)
    print(
        f"exp={EXPERIMENT}:run={RUN}:dir={args.folder}: {args.frames} events of jungfrau and gmd, {sample}; "
        f"{WAVELENGTH:g} angstrom, pixels of {PIXEL * 1e6:g} um, {geometry} says where they are"
    )


if __name__ == "__main__":
    main()
