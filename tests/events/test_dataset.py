r"""Names with colons, commas and characters of patterns in the dataset string: `\:` and `\,`."""

import json
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcorana.errors import ConfigError
from parcorana.events.dataset import escaped, parse_dataset
from parcorana.events.hdf5.stack import file_names
from parcorana.events.psana1 import text_for_psana
from parcorana.tools import maskcolor


@pytest.mark.parametrize(
    ("text", "name", "names", "label"),
    [
        (r"h5=scan\:3.h5", "scan:3.h5", ("scan:3.h5",), "scan_3"),
        (r"h5=a\:1.h5,b\:2.h5:live", "a:1.h5,b:2.h5", ("a:1.h5", "b:2.h5"), "a_1"),
        (r"h5=a\,1.h5,b.h5", "a,1.h5,b.h5", ("a,1.h5", "b.h5"), "a_1"),
        (r"h5=\:\:x\\y.h5", "::x\\\\y.h5", ("::x\\\\y.h5",), "__x\\\\y"),
        (r"file=12\:30.xtc2", "12:30.xtc2", (), "12_30"),
        (r"shmem=psana\:0", "psana:0", (), None),
    ],
)
def test_colons_and_commas_in_names(text, name, names, label):
    found = parse_dataset(text)
    assert (found.name, found.names, found.label()) == (name, names, label) and found.text == text


def test_a_colon_in_a_folder():
    found = parse_dataset(r"exp=xpptut15:run=54:dir=/data/12\:30\,b:idx")
    assert (found.dir, found.runs, found.idx) == ("/data/12:30,b", (54,), True)
    assert parse_dataset(r"h5=a.h5:dir=/12\:30:live").dir == "/12:30"
    with pytest.raises(ConfigError, match="LCLS-I takes no name with a colon, as '/data/12:30,b'"):
        text_for_psana(found)


@given(st.lists(st.text("ab:,= .-", min_size=1), min_size=1), st.text("ab:,=.", min_size=1))
def test_escaped_names_come_back(names, folder):
    found = parse_dataset(f"h5={','.join(map(escaped, names))}.h5:dir={escaped(folder)}:live")
    *first, last = names
    assert found.names == (*first, f"{last}.h5") and found.dir == folder and found.live


@pytest.mark.parametrize("text", ["h5=scan:3.h5", "h5=a.h5:run=3.h5", "h5=a.h5:b=3.h5", "exp=a:run=1:dir=/12:30"])
def test_a_bare_colon_is_a_hint(text):
    with pytest.raises(ConfigError, match=r"if it belongs to a name, write the colon before it as \\:"):
        parse_dataset(text)


def test_files_of_just_that_name(tmp_path, monkeypatch):
    """A file whose name reads like a pattern or a list is meant where it is there."""
    monkeypatch.chdir(tmp_path)
    for name in ("a[1].h5", "a1.h5", "b,c.h5", "run*.h5", "run1.h5"):
        (tmp_path / name).touch()

    def files(text):
        return file_names(parse_dataset(text))

    assert files("h5=a[1].h5") == ["a[1].h5"] and files("h5=a[1].h5,run1.h5") == ["a[1].h5", "run1.h5"]
    assert files("h5=run1.h5,run*.h5") == ["run1.h5", "run*.h5"]
    assert files("h5=b,c.h5") == files(r"h5=b\,c.h5") == ["b,c.h5"]
    assert files(r"h5=a1.h5,b\,c.h5") == ["a1.h5", "b,c.h5"]
    assert files("h5=a?.h5") == ["a1.h5"]
    with pytest.raises(ConfigError, match=r"no file fits 'x\*'"):
        files("h5=x*")


@pytest.mark.parametrize("name", ["scan:3.h5", "a,b:c.h5", "run[2]*.h5"])
def test_a_run_of_such_a_file(setup, name, monkeypatch, capsys):
    """Checked, run, found again in the result; the mask tool takes it as well."""
    shutil.move(setup.folder / "frames.h5", setup.folder / name)
    dataset = f"h5={escaped(name)}"
    setup.write("G2atEnd", dataset=dataset, h5output=...)
    checked = setup.drive("--check")
    assert checked.returncode == 0 and repr(dataset) in checked.stdout
    run = setup.drive()
    assert run.returncode == 0, run.stderr
    (result,) = setup.folder.glob("g2calc_*.h5")
    with h5py.File(result) as file:
        assert json.loads(file["system/system_params"][()])["dataset"] == dataset
        assert file["system/accounting"].attrs["read"] == len(setup.frames)
    assert ":" not in result.name and "," not in result.name
    monkeypatch.chdir(setup.folder)
    assert maskcolor.main(["start", "-d", dataset, "-s", "det/frames", "-b", "m"]) == 0
    np.testing.assert_allclose(np.load("m_avg_ndarrCoords.npy"), setup.frames.mean(0), rtol=1e-12)
    capsys.readouterr()
    setup.write("G2atEnd", dataset=rf"h5=no\:{escaped(name)}")
    refused = setup.drive()
    said = "no file fits" if "*" in name else "there is no such file"
    assert refused.returncode == 2 and f"h5=no:{name}: {said}" in refused.stderr


def test_a_trusted_folder_with_a_colon(tmp_path):
    """What the error says to add is taken as it is said."""
    folder = tmp_path / "12:30, again"
    folder.mkdir()
    with h5py.File(folder / "part.h5", "w") as file:
        file["data"] = np.arange(24.0).reshape(4, 2, 3)
    with h5py.File(tmp_path / "master.h5", "w") as file:
        layout = h5py.VirtualLayout((4, 2, 3), float)
        layout[:] = h5py.VirtualSource(str(folder / "part.h5"), "data", (4, 2, 3))
        file.create_virtual_dataset("data", layout)
    from parcorana.events.open import open_source

    text = f"h5={escaped(str(tmp_path))}/master.h5"
    with pytest.raises(ConfigError, match="add ':dir=") as refused:
        open_source(parse_dataset(text), src="data")
    advice = str(refused.value).split("add '")[1].split("' to the dataset")[0]
    source = open_source(parse_dataset(text + advice), src="data")
    assert source.shape == (2, 3) and source.total == 4
    source.close()
