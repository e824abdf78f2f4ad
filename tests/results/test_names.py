"""Names of results: what no file can have, or what is no file, is refused before anything is done."""

import os
import socket

import h5py
import pytest

from parcorana.errors import ConfigError, say
from parcorana.files.datasets import write_dataset
from parcorana.results.folder import ask_to_stop, hidden_name
from parcorana.results.join import join
from parcorana.results.name import resolve_name

LONGEST = 255 - len(".inprogress") - len("..done")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a" * 5000, "File name too long"),
        ("a" * (LONGEST + 1), "File name too long"),
        ("%C" + "a" * 5000, "File name too long"),
        ("a\0b.h5", "null"),
        ("\ud800.h5", "surrogates"),
        ("file/out.h5", "Not a directory"),
    ],
)
def test_no_file_can_be_called_that(tmp_path, monkeypatch, name, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"h5output: no file can be called .*: .*{why}"):
        resolve_name(name, overwrite=True)


def test_the_longest_name_is_one(tmp_path):
    name = str(tmp_path / ("a" * LONGEST))
    assert resolve_name(name, overwrite=False) == name
    folder = tmp_path / f"{'a' * LONGEST}.inprogress"
    folder.mkdir()
    folder.rename(hidden_name(folder))


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
    (tmp_path / "out.h5.inprogress").mkdir()
    for name, what in (("pipe", "a pipe"), ("link", "a device"), ("socket", "a socket")):
        with pytest.raises(ConfigError, match=f"h5output: .* is {what}"):
            resolve_name(str(tmp_path / name), overwrite=True)
        with pytest.raises(ConfigError, match=f"--join: .* is {what}"):
            join(tmp_path / "out.h5.inprogress", name=tmp_path / name, overwrite=True)


def test_no_result_is_in_the_folder_of_a_run(tmp_path):
    """Which goes when that run ends, or is joined."""
    folder = tmp_path / "out.h5.inprogress"
    (folder / "sub").mkdir(parents=True)
    (folder / "update_000010.h5").touch()
    (tmp_path / "link").symlink_to(folder / "sub")
    for name in (folder / "a.h5", folder / "sub/a%C.h5", tmp_path / "link/a.h5"):
        with pytest.raises(ConfigError, match=r"h5output: .* the folder of a run in progress"):
            resolve_name(str(name), overwrite=True)
        with pytest.raises(ConfigError, match=r"--join: .* the folder of a run in progress"):
            join(folder, name=name, overwrite=True)
    assert sorted(os.listdir(folder)) == ["sub", "update_000010.h5"]


@pytest.mark.parametrize("leads", [False, True])
def test_what_is_no_folder_where_that_of_the_run_would_be(tmp_path, leads):
    there = tmp_path / "out000.h5.inprogress"
    there.symlink_to("nowhere") if leads else there.touch()
    with pytest.raises(ConfigError, match=f"is {'a link that leads nowhere' if leads else 'no folder'}: remove it"):
        resolve_name(str(tmp_path / "out000.h5"), overwrite=True)
    assert resolve_name(str(tmp_path / "out%C.h5"), overwrite=True) == str(tmp_path / "out001.h5")


def test_only_results_are_replaced(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["frames"] = [1]
        file["system"] = file["user"] = h5py.SoftLink("/frames")
    (tmp_path / "notes.h5").write_text("precious")
    for name in ("data.h5", "notes.h5"):
        with pytest.raises(ConfigError, match=r"h5output: .* is there and no result"):
            resolve_name(str(tmp_path / name), overwrite=True)
    with h5py.File(tmp_path / "result.h5", "w") as file:
        file.create_group("system")
        file.create_group("user")
    (tmp_path / "empty.h5").touch()
    for name in ("result.h5", "empty.h5"):
        assert resolve_name(str(tmp_path / name), overwrite=True)


def test_no_file_that_is_read_is_replaced(tmp_path):
    (tmp_path / "read").touch()
    (tmp_path / "link").symlink_to("read")
    (tmp_path / "hard").hardlink_to(tmp_path / "read")
    reads = [("mask", "gone"), ("what", "a\0b"), ("user_params['color']", str(tmp_path / "read"))]
    for name in ("read", "link", "hard"):
        with pytest.raises(ConfigError, match=r"h5output: .* is the file of user_params\['color'\], which is read"):
            resolve_name(str(tmp_path / name), overwrite=True, reads=reads)


def test_folders_that_no_run_can_have():
    for name in ("a" * 5000, "a\0b"):
        with pytest.raises(ConfigError, match="--stop: no run is writing"):
            ask_to_stop(name)
        with pytest.raises(ConfigError, match=r"--join: .* is not a folder"):
            join(name)


def test_bytes_that_are_no_text_are_kept_as_they_are_shown(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_dataset(file, "names", ["a\udcff.h5", "é"], "1", "names of files")
        assert file["names"].asstr()[:].tolist() == ["a\\udcff.h5", "é"]


def test_what_is_said_is_text(capsys):
    say("parCorAnaMerge: warning: \x1b[2J\u202e:\n  é\tb")
    assert capsys.readouterr().err == "parCorAnaMerge: warning: \\x1b[2J\\u202e:\n  é\tb\n"
