"""Where HDF5 files look for those that they draw in, and which of these are read."""

import os
import shutil

import h5py
import numpy as np
import pytest
from test_hdf5 import FRAMES
from test_hdf5_files import frames_of, opened

from parcorana.errors import ConfigError, RunError
from parcorana.events.hdf5 import files as hdf5_files

HALF = len(FRAMES) // 2
READ = {"data": FRAMES, "linked": FRAMES[:HALF]}


def write(folder, name=lambda folder, k: f"part{k}.h5"):
    """Write two files and a master that draws them in, by a virtual dataset and by a link."""
    folder.mkdir(exist_ok=True)
    layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    names = [str(name(folder, k)) for k in range(2)]
    for k, piece in enumerate((FRAMES[:HALF], FRAMES[HALF:])):
        path = folder / names[k]
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            file["run/data"] = piece
        layout[HALF * k : HALF * k + len(piece)] = h5py.VirtualSource(names[k], "run/data", piece.shape)
    with h5py.File(folder / "master.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
        file["linked"] = h5py.ExternalLink(names[0], "/run/data")
    return folder / "master.h5"


def check(text, lines=None):
    for src, right in READ.items():
        said = []
        assert np.array_equal(frames_of(opened(text, src, said.append))[1], right)
        assert (lines is None and not [line for line in said if "times" not in line]) or lines in said[0]


def absolute(folder, k):
    return folder / f"part{k}.h5"


@pytest.mark.parametrize("name", [absolute, lambda folder, k: f"part{k}.h5"])
@pytest.mark.parametrize("with_dir", [False, True])
def test_moved_with_its_files(tmp_path, name, with_dir):
    write(tmp_path / "beamline", name)
    (tmp_path / "beamline").rename(tmp_path / "cluster")
    check(f"h5={tmp_path}/cluster/master.h5" + f":dir={tmp_path}/cluster" * with_dir)


def test_copied_while_the_first_ones_stay(tmp_path):
    """What lies beside the master is trusted; where it was written is not, and that is said."""
    write(tmp_path / "beamline", absolute)
    shutil.copytree(tmp_path / "beamline", tmp_path / "cluster")
    away = f"part0.h5 is read, and not {tmp_path}/beamline/part0.h5, which the file names"
    lines = []
    for src, right in READ.items():
        assert np.array_equal(frames_of(opened(f"h5={tmp_path}/cluster/master.h5", src, lines.append))[1], right)
    lines = [line for line in lines if "times" not in line]
    assert f"{tmp_path}/cluster/part0.h5 is read (and 1 more), and not {tmp_path}/beamline/part0.h5" in lines[0]
    assert away in lines[1]
    check(f"h5={tmp_path}/cluster/master.h5:dir={tmp_path}")  # both are trusted: as HDF5 does


def test_master_behind_a_link(tmp_path, monkeypatch):
    """As HDF5: beside the link, then beside what it leads to; both folders are trusted."""
    write(tmp_path / "data")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "run.h5").symlink_to(tmp_path / "data" / "master.h5")
    check(f"h5={tmp_path}/mine/run.h5")
    (tmp_path / "mine" / "part0.h5").symlink_to(tmp_path / "data" / "part0.h5")
    check(f"h5={tmp_path}/mine/run.h5")
    monkeypatch.chdir(tmp_path / "mine")
    check("h5=run.h5")


def test_in_a_folder_below_or_beside(tmp_path):
    """Those are not trusted by themselves; the advice is the folder that helps."""
    write(tmp_path / "data", lambda folder, k: f"parts/part{k}.h5")
    text = f"h5={tmp_path}/data/master.h5"
    for src in READ:
        with pytest.raises(ConfigError, match="only in a folder that you trust") as error:
            opened(text, src)
        assert str(error.value).endswith(f": add ':dir={tmp_path}/data/parts' to the dataset")
    check(f"{text}:dir={tmp_path}/data/parts")
    (tmp_path / "other").mkdir()
    for src in READ:
        with pytest.raises(ConfigError, match="only in a folder that you trust") as error:
            opened(f"{text}:dir={tmp_path}/other", src)
        assert str(error.value).endswith(f": ':dir={tmp_path}' has it, too")
    check(f"{text}:dir={tmp_path}")


def test_moved_elsewhere_than_the_master(tmp_path):
    """The folder that is named is looked in, too."""
    master = write(tmp_path / "beamline", absolute)
    (tmp_path / "raw").mkdir()
    for k in range(2):
        (tmp_path / "beamline" / f"part{k}.h5").rename(tmp_path / "raw" / f"part{k}.h5")
    for src in READ:
        with pytest.raises(ConfigError, match=r"part0\.h5, which is not there.*name its folder by ':dir='"):
            opened(f"h5={master}", src)
    check(f"h5={master}:dir={tmp_path}/raw")


@pytest.mark.parametrize("variable", ["HDF5_VDS_PREFIX", "HDF5_EXT_PREFIX"])
def test_environment(tmp_path, monkeypatch, variable):
    master = write(tmp_path / "beamline")
    (tmp_path / "raw").mkdir()
    for k in range(2):
        (tmp_path / "beamline" / f"part{k}.h5").rename(tmp_path / "raw" / f"part{k}.h5")
    monkeypatch.setenv(variable, f"/nowhere:{tmp_path}/raw")
    src = "data" if "VDS" in variable else "linked"
    with pytest.raises(ConfigError, match=f"add ':dir={tmp_path}/raw'"):
        opened(f"h5={master}", src)
    assert np.array_equal(frames_of(opened(f"h5={master}:dir={tmp_path}/raw", src))[1], READ[src])


def test_links_of_the_file_system_out_of_the_folder(tmp_path):
    """What is trusted is where a file is, not where its name is."""
    master = write(tmp_path / "data")
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "data" / "part0.h5").rename(outside / "part0.h5")
    (tmp_path / "data" / "part0.h5").symlink_to(outside / "part0.h5")
    for src in READ:
        for more in ("", f":dir={tmp_path}/data"):
            with pytest.raises(ConfigError, match=r"part0\.h5; other files are read only in a folder that you trust"):
                opened(f"h5={master}{more}", src)
    check(f"h5={master}:dir={tmp_path}")


def test_a_part_that_comes_to_lead_elsewhere(tmp_path, monkeypatch):
    """It is looked at again when it is opened again, not only at the start."""
    monkeypatch.setattr(hdf5_files, "_FEWEST", 1)
    monkeypatch.setattr(hdf5_files, "_MOST", 1)
    master = write(tmp_path / "data")
    (tmp_path / "outside").mkdir()
    source = opened(f"h5={master}", "data", block=HALF)
    (tmp_path / "data" / "part1.h5").rename(tmp_path / "outside" / "part1.h5")
    (tmp_path / "data" / "part1.h5").symlink_to(tmp_path / "outside" / "part1.h5")
    with pytest.raises(RunError, match="only in a folder that you trust"):
        frames_of(source)
    source.close()


@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "pipe"), (os.mkdir, "folder")])
def test_what_is_no_file(tmp_path, make, kind):
    master = write(tmp_path / "data")
    (tmp_path / "data" / "part0.h5").unlink()
    make(tmp_path / "data" / "part0.h5")
    for src in READ:
        with pytest.raises(ConfigError, match=rf"part0\.h5: this is a {kind}"):
            opened(f"h5={master}", src)
