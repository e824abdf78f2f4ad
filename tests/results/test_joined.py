"""Updates become one file: as the run goes on or at its end, whole or damaged, whatever user code wrote into them."""

import errno
import os
import random
import shutil
import signal
import tracemalloc

import h5py
import numpy as np
import pytest
from local import config_of_results

from parcorana.curves.curvefile import complete
from parcorana.errors import ConfigError, RunError
from parcorana.files import aside, datasets, plain, sealed
from parcorana.results import file as files
from parcorana.results import joined
from parcorana.results.file import ResultFile
from parcorana.results.folder import published, take_over
from parcorana.results.join import join
from parcorana.results.joined import Joined
from parcorana.results.reading import classes_in, read_result, updates_in
from parcorana.tools import compare, driver

FACTS = {"account": {}, "first": 0, "last": 1, "merged": 0}
ENDED = {"complete": True, "ended_by": "end of data"}


def begin(path, config, write=lambda group, number: None, **more):
    """Return a result file whose `initViewer` writes something, and a function that publishes an update."""

    def init(group):
        group["first"] = np.arange(40.0)

    results = ResultFile(str(path), config, [(0, "viewer", "here")], init, **more)

    def publish(number, full=False, ending=False):
        def steps(group):
            part = group.create_group(f"G_at_{number:06d}/deeper")
            part.attrs["text"], part["counts"] = "as it is", np.arange(number)
            group["first"].attrs["n"] = number // 5  # now and then another one
            group["latest"] = number
            if full:
                part["more"] = np.ones(9)
            write(group, number)
            yield

        facts = FACTS | {"account": {"read": number, "processed": number}}
        list(results.publish(number, facts, steps, ending))

    return results, publish


def at_end(processed):
    return FACTS | ENDED | {"account": {"read": processed, "processed": processed}}


@pytest.fixture
def config():
    return config_of_results()


@pytest.fixture
def few(monkeypatch):
    """Have updates joined three at a time."""
    monkeypatch.setattr(files, "_SOME", 3)


def test_joined_as_the_run_goes_on_is_joined_at_its_end(tmp_path, config, few, monkeypatch):
    taken = []
    monkeypatch.setattr(
        Joined, "take", lambda self, updates, take=Joined.take: (taken.append(len(updates)), take(self, updates))
    )
    results, publish = begin(tmp_path / "out.h5", config)
    for number in range(1, 18):
        publish(number)
    publish(17, full=True)
    shutil.copytree(results.folder, tmp_path / "killed.h5.inprogress")
    results.finish(at_end(17))
    assert sum(taken) == 17 and taken[-1] <= 3
    assert os.listdir(tmp_path / "killed.h5.inprogress").count("update_000017.h5") == 1
    join(tmp_path / "killed.h5.inprogress")
    assert sorted(os.listdir(tmp_path)) == ["killed.h5", "out.h5"]
    how = ["/system@complete", "/system@ended_by"]
    assert compare.compare(tmp_path / "out.h5", tmp_path / "killed.h5", ignore=how) == []
    with h5py.File(tmp_path / "out.h5") as file:
        assert (
            len(file["user"]) == 17 + 2 and file["user/latest"][()] == 17 and "more" in file["user/G_at_000017/deeper"]
        )
        assert file["user/first"].attrs["n"] == 3


def test_what_was_joined_counts_only_if_it_is_what_is_there(tmp_path, config, few):
    """Somebody has taken an update away, or put another one in its place."""
    results, publish = begin(tmp_path / "out.h5", config)
    for number in range(1, 8):
        publish(number)
    os.replace(results.folder / "update_000002.h5", results.folder / "update_000001.h5")
    results.finish(at_end(7))
    with h5py.File(tmp_path / "out.h5") as file:
        assert [name for name in file["user"] if name[0] == "G"] == [f"G_at_{n:06d}" for n in range(2, 8)]


def test_a_run_that_goes_on_joins_what_there_was(tmp_path, config, few):
    results, publish = begin(tmp_path / "out.h5", config)
    for number in range(1, 12):
        publish(number)
    results.release()
    assert not [name for name in os.listdir(results.folder) if "joined" in name]
    (results.folder / ".joined.h5.01234567.tmp").touch()
    again, publish = begin(tmp_path / "out.h5", config, resumed_at=[8], lock=take_over(results.folder))
    assert not [name for name in os.listdir(results.folder) if "joined" in name]
    publish(9)
    publish(9, ending=True)
    again.finish(at_end(9) | {"complete": False})
    with h5py.File(tmp_path / "out.h5") as file:
        assert [name for name in file["user"] if name[0] == "G"] == [f"G_at_{n:06d}" for n in range(1, 10)]


def test_a_disk_that_is_full_for_a_while_is_no_matter(tmp_path, config, few, monkeypatch):
    results, publish = begin(tmp_path / "out.h5", config)
    with monkeypatch.context() as patch:

        def fail(self, updates):
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(Joined, "take", fail)
        for number in range(1, 8):
            publish(number)
    results.finish(at_end(7))
    with h5py.File(tmp_path / "out.h5") as file:
        assert len(file["user"]) == 7 + 2


# -- what user code may write ----------------------------------------------------------


def _external(group):
    group["bad"] = h5py.ExternalLink("raw.h5", "/frames")


def _dangling(group):
    group["bad"] = h5py.SoftLink("/user/nothing")


def _to_itself(group):
    group["bad"] = h5py.SoftLink("/user/bad")


def _virtual(group):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("raw.h5", "x", (4,))
    group.create_virtual_dataset("deep/bad", layout)


def _elsewhere(group):
    group.create_dataset("bad", (9,), "u1", external=[("raw.bin", 0, 9)])


def _within(group):
    group["deep/er"] = 1
    group["deep/bad"] = group["deep"]


def _reference(group):
    group["deep/bad"] = group.ref


def _references(group):
    kind = np.dtype([("a", "i4"), ("b", h5py.vlen_dtype(h5py.regionref_dtype))])
    group.create_dataset("bad", (2,), kind)


def _attribute(group):
    group.create_group("bad").attrs["of"] = group.ref


def _scale(group):
    group["bad"] = np.arange(3)
    group["x"] = np.arange(3)
    group["x"].make_scale("x")
    group["bad"].dims[0].attach_scale(group["x"])


@pytest.mark.parametrize(
    "write",
    [
        *(_external, _dangling, _to_itself, _virtual, _elsewhere, _within),
        *(_reference, _references, _attribute, _scale),
    ],
)
def test_what_cannot_be_joined_is_refused_at_once(tmp_path, config, write):
    results, publish = begin(tmp_path / "out.h5", config, lambda group, number: write(group))
    with pytest.raises(RunError, match=r"^user_class object: .*/bad' .*") as raised:
        publish(1)
    assert "\n" not in str(raised.value)
    assert not published(results.folder) and sorted(os.listdir(results.folder)) == [".writer", "base.h5"]
    results.release()


def test_links_within_the_file_stay_links(tmp_path, config, few):
    def write(group, number):
        group["last"] = h5py.SoftLink(f"/user/G_at_{number:06d}")
        group["self"] = h5py.SoftLink("/user")
        group["hard"] = group["latest"]

    results, publish = begin(tmp_path / "out.h5", config, write)
    for number in range(1, 9):
        publish(number)
    results.finish(at_end(8))
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["user"].get("self", getlink=True).path == "/user" and file["user/hard"][()] == 8
        assert file["user/last/deeper/counts"].shape == (8,)
    assert compare.main([str(tmp_path / "out.h5"), str(tmp_path / "out.h5")]) == 0


def _no_group(group, number):
    group[f"G2_results_at_{number:06d}"] = h5py.Empty("f4")


def _no_table(group, number):
    group.create_group(f"G2_results_at_{number:06d}")["delay_curves"] = 5


def test_what_is_called_an_update_and_is_no_group_is_none(tmp_path, config, few):
    def write(group, number):
        if number == 5:
            _no_group(group, number)

    results, publish = begin(tmp_path / "out.h5", config, write)
    for number in range(1, 6):
        publish(number)
    results.finish(at_end(5))
    with h5py.File(tmp_path / "out.h5") as file:
        assert isinstance(file["user/G2_results_at_000005"], h5py.Dataset)
        assert classes_in(file) == [""] and updates_in(file) == {}
        with pytest.raises(ConfigError, match=r"^out: there is no G2_results_at_\* in /user;"):
            read_result(file, "out")
    with h5py.File(tmp_path / "out.h5", "r+") as file:
        file["user/G2_results_at_000004"] = file["user/G_at_000004"]
        assert list(updates_in(file)) == [4] and complete(file["user"]) == []


def test_updates_that_are_no_result_are_refused_in_one_sentence(tmp_path, config):
    results, publish = begin(tmp_path / "out.h5", config, _no_table)
    publish(3)
    results.release()
    with pytest.raises(
        RunError, match=r"^cannot write '.*/out\.h5': the updates are not those of a result: .*colors"
    ) as raised:
        join(results.folder)
    assert "\n" not in str(raised.value) and [path.name for path in published(results.folder)] == ["update_000003.h5"]


# -- damage ----------------------------------------------------------------------------


def flip(path, at, bit=1):
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)


def test_no_bit_of_an_update_changes_unnoticed(tmp_path, config):
    results, publish = begin(tmp_path / "out.h5", config)
    publish(3)
    path, rng = results.folder / "update_000003.h5", random.Random(1)
    results.release()
    whole = path.read_bytes()
    for _ in range(300):
        flip(path, at := rng.randrange(len(whole)), 1 << rng.randrange(8))
        with sealed.taken(path) as (number, _):
            # where the mark of the checksum itself is hit, all else is whole
            assert sealed.is_damaged(number) or at >= len(whole) - sealed._LENGTH
        path.write_bytes(whole)
    with sealed.taken(path) as (number, _):
        assert not sealed.is_damaged(number)


@pytest.mark.parametrize("which", [2, 3])
def test_a_damaged_update_is_left_out_and_said(tmp_path, config, capsys, which):
    results, publish = begin(tmp_path / "out.h5", config)
    for number in (1, 2, 3):
        publish(number)
    results.release()
    path = results.folder / f"update_{which:06d}.h5"
    flip(path, path.stat().st_size // 2)
    assert driver.main(["--join", str(results.folder)]) == 0
    said = capsys.readouterr()
    assert f"update_{which:06d}.h5 is damaged: its checksum is wrong; it is left out of the result" in said.err
    assert f"joined 2 updates, up to {3 if which == 2 else 2} events" in said.out
    assert sorted(os.listdir(tmp_path)) == ["out.h5", f"out.h5.update_{which:06d}.damaged"]
    with h5py.File(tmp_path / "out.h5") as file:
        assert [name for name in file["user"] if name[0] == "G"] == [f"G_at_{n:06d}" for n in {1, 2, 3} - {which}]
        assert file["system"].attrs["updates_left_out"].tolist() == [which]


def test_a_truncated_update_without_its_end_is_left_out(tmp_path, config, caplog):
    results, publish = begin(tmp_path / "out.h5", config)
    for number in (1, 2):
        publish(number)
    os.truncate(results.folder / "update_000001.h5", 3000)
    results.finish(at_end(2))
    assert "update_000001.h5 is damaged: " in caplog.text and "kept as " in caplog.text
    results, publish = begin(tmp_path / "two.h5", config)
    publish(1)
    results.release()
    flip(results.folder / "update_000001.h5", 2000)
    with pytest.raises(
        RunError, match=r"update_000001.h5' is damaged: .* no other update is whole; what was published stays"
    ):
        join(results.folder)


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_an_update_that_cannot_be_opened_is_not_damaged(tmp_path, config, monkeypatch, error):
    results, publish = begin(tmp_path / "out.h5", config)
    for number in (1, 2):
        publish(number)
    results.release()
    opened = h5py.File

    def short(name, *args, **kwargs):
        if kwargs.get("libver") is None and tried.append(name) is None and len(tried) == 1:
            raise error
        return opened(name, *args, **kwargs)

    tried = []
    monkeypatch.setattr(joined.h5py, "File", short)
    monkeypatch.setattr(joined, "fault_of_any", lambda paths: {})
    with pytest.raises((RunError, MemoryError)):
        join(results.folder)
    assert [path.name for path in published(results.folder)] == ["update_000001.h5", "update_000002.h5"]
    assert len(join(results.folder)[1]) == 2


def test_a_trial_that_the_system_ends_says_nothing_of_an_update(tmp_path, config, monkeypatch):
    results, publish = begin(tmp_path / "out.h5", config)
    publish(1)
    results.release()
    monkeypatch.setattr(plain, "_read_through", lambda path: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(RunError, match="cannot be tried: the system ended"):
        join(results.folder)
    assert len(published(results.folder)) == 1


def test_damage_in_a_result_is_found_when_it_is_compared(tmp_path, config, capsys):
    results, publish = begin(tmp_path / "out.h5", config)
    publish(1)
    results.finish(at_end(1))
    path = tmp_path / "out.h5"
    with h5py.File(path) as file:
        datasets = []
        file["system"].visititems(lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
        for item in datasets:
            kept = (
                item.id.get_create_plist().get_layout() == h5py.h5d.COMPACT
            )  # within its description, and its checksum
            assert item.fletcher32 or (kept and not item.shape), item.name
        places = [file["system/delays"].id.get_chunk_info(0).byte_offset]
    places.append(path.read_bytes().index(b"system_params as run") + 3)
    places.append(path.read_bytes().index(b"{}"))
    for at in places[:1] + places[2:]:
        flip(path, at)
        assert compare.main([str(path), str(path)]) == 2
        assert "cannot read a result file" in capsys.readouterr().err
        flip(path, at)
    assert compare.main([str(path), str(path)]) == 0


# -- other people's files ----------------------------------------------------------------


def test_what_others_put_there_is_not_taken(tmp_path, config):
    results, publish = begin(tmp_path / "out.h5", config)
    publish(1)
    results.release()
    link = results.folder / "update_000002.h5"
    link.symlink_to(results.folder / "update_000001.h5")
    with pytest.raises(RunError, match=r"update_000002.h5' is a link, and must be a file; move it away"):
        join(results.folder)
    link.unlink()
    shutil.copy(results.folder / "update_000001.h5", link)
    if os.geteuid() == 0:
        os.chown(link, 12345, 12345)
        with pytest.raises(RunError, match=r"update_000002.h5' belongs to somebody else"):
            join(results.folder)
        os.chown(results.folder, 12345, 12345)  # joined for somebody else
    assert join(results.folder)[0] == tmp_path / "out.h5"


def test_files_are_written_through_no_link(tmp_path, monkeypatch):
    (victim := tmp_path / "precious").write_text("precious\n", encoding="utf-8")
    monkeypatch.setattr(aside.secrets, "token_hex", lambda n: "0" * 2 * n)
    (planted := tmp_path / ".a.h5.00000000.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError), aside.written(tmp_path / "a.h5"):
        pass
    assert planted.is_symlink()  # not ours to remove
    planted.unlink()
    (tmp_path / "a.h5").symlink_to(victim)
    with aside.written(tmp_path / "a.h5") as file:
        file.write(b"x")
    assert (tmp_path / "a.h5").read_bytes() == b"x" and not (tmp_path / "a.h5").is_symlink()
    made = aside.Aside(tmp_path / "a.h5")
    planted.unlink()
    planted.symlink_to(victim)
    with pytest.raises(FileNotFoundError, match="another file in the place"):
        made.become(tmp_path / "a.h5")
    made.discard()
    assert (tmp_path / "a.h5").read_bytes() == b"x" and victim.read_text(encoding="utf-8") == "precious\n"
    with pytest.raises(KeyError), aside.written(tmp_path / "b.h5"):
        raise KeyError
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "precious"]


def test_pipes_and_devices_are_written_to_only_where_a_command_names_them(tmp_path):
    """Others may have put them there, for what is written, or to have its writer wait for ever."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="pipe that nobody reads"), aside.written(pipe, streams=True):
        pass
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with aside.written(pipe, streams=True) as file:
        file.write(b"y")
    assert os.read(reader, 9) == b"y"
    os.close(reader)
    for to in (pipe, "/dev/null"):
        link.symlink_to(to)
        with pytest.raises(FileExistsError, match="link to a device or a pipe"), aside.written(link, streams=True):
            pass
        link.unlink()
    if os.geteuid() == 0:
        os.chown(pipe, 12345, 12345)
        with pytest.raises(FileExistsError, match="a pipe of somebody else's"), aside.written(pipe, streams=True):
            pass
    with pytest.raises(FileExistsError, match="'/dev/null' is a device"), aside.written("/dev/null"):
        pass
    with aside.written("/dev/null", streams=True) as file:
        file.write(b"y")
    assert aside.kind_in_place(pipe) == "a pipe" and aside.kind_in_place(link) is None
    with aside.written(pipe) as file:
        file.write(b"z")
    assert pipe.read_bytes() == b"z" and os.listdir(tmp_path) == ["pipe"]


def test_writing_and_joining_hold_little_of_what_is_written(tmp_path):
    """Of thousands of datasets HDF5 would keep all descriptions; of a large file nobody holds more than a piece."""
    path = tmp_path / "update_000001.h5"
    with aside.written(path) as disk:
        with aside.hdf5(disk) as file:
            user = file.create_group("system").parent.create_group("user")
            for number in range(400):
                datasets.write_dataset(user, f"part_{number}", np.arange(3), "1", "a dataset with a description")
            assert file.id.get_mdc_size()[2] <= 64 << 10
            user["large"] = np.arange(1 << 21)
        tracemalloc.start()
        try:
            sealed.seal(disk)
            assert tracemalloc.get_traced_memory()[1] < 3 << 19
        finally:
            tracemalloc.stop()
    joining = Joined(tmp_path / "joined", own=True)
    joining.take([path])
    with joining._opened() as file:
        assert len(file["user"]) == 401 and not file["user/large"].id.get_create_plist().get_nfilters()
        assert file.id.get_mdc_config().max_size <= 64 << 10
    joining.discard()
