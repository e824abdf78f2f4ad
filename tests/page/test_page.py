"""The page of a run: what it shows is what h5py reads, others are refused, and it says how the run is."""

import asyncio
import gc
import os
import re
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from bokeh.document import Document
from bokeh.model import Model
from conftest import Setup, run_within
from local import run_local
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from parcorana import correlate
from parcorana.errors import ConfigError
from parcorana.events import simulated
from parcorana.page import said
from parcorana.page.chooser import Chooser
from parcorana.page.curves import curves_data, decay_data, pairs_data
from parcorana.page.document import Page
from parcorana.page.follow import DIED, ENDED, GONE, RUNNING, SILENT, STOPPED, WAITING, Follower
from parcorana.page.server import PageServer, _listening
from parcorana.page.times import intensity_data, monitor_data
from parcorana.page.update import Update
from parcorana.photons import PhotonStatistics
from parcorana.results.lock import FolderLock
from parcorana.results.runlog import LOG
from parcorana.tools import watch
from parcorana.twotime import TwoTime
from parcorana.userg2 import G2IncrementalAccumulator


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A result with a warning in its log, with errors, a monitor and full arrays at its end."""
    setup = Setup(tmp_path_factory.mktemp("page"))
    setup.write("G2IncrementalAccumulator", setup.user | {"normalization": "pixel", "save_arrays": "last"}, update=50)
    done = setup.drive()
    assert done.returncode == 0, done.stderr
    return setup.folder / "out.h5"


def published(result, name, numbers=None):
    """Make the folder of a run that has published these updates of a result; return it."""
    folder = name.with_name(f"{name.name}.inprogress")
    folder.mkdir(exist_ok=True)
    with h5py.File(result) as file:
        every = {int(group.rpartition("_")[2]): group for group in file["user"]}
        for number in every if numbers is None else numbers:
            with h5py.File(folder / f".{number}", "w") as update:
                file.copy("system", update)
                update["system"].attrs.update({"ended_by": "not ended", "complete": False})
                update.create_group("user")
                file.copy(f"user/{every[number]}", update["user"])
            os.replace(folder / f".{number}", folder / f"update_{number:06d}.h5")
    return folder


def test_shown_is_what_is_in_the_file(made):
    seen = Follower(made).seen
    assert seen.numbers == [50, 100, 150, 200, 228] and not seen.trouble
    part = seen.latest.parts[""]
    with h5py.File(made) as file:
        group, system = file["user/G2_results_at_000228"], file["system"]
        colors = [1, 2, 3]
        points, lines, _, before, _ = curves_data(part.result, colors)
        assert not any(
            isinstance(column, np.ndarray) for column in before.values()
        )  # of no rows: no paints for a browser
        assert lines["color"] == colors
        for k, color in enumerate(colors):
            mine = points["color"] == color
            g2, error = (group[f"delay_curve{kind}_color_{color}"][:] for kind in ("", "_err"))
            assert np.array_equal(points["y"][mine], g2) and np.array_equal(lines["ys"][k], g2)
            np.testing.assert_allclose((points["high"] - points["low"])[mine], 2 * error, rtol=1e-6)
            assert np.array_equal(points["x"][mine], group["delays"][:])
            assert np.allclose(points["seconds"][mine], group["delays"][:] / group["delays"].attrs["rate"])
            line = intensity_data(part.result, colors)["ys"][k]
            assert np.array_equal(line, group[f"intensity/color_{color}"][:])
        assert np.array_equal(pairs_data(part.result)["y"], group["delay_counts"][:])
        assert seen.latest.account == {name: int(n) for name, n in system["accounting"].attrs.items()}
        timeline = system["values/mean/timeline"]
        order = np.argsort(timeline["first"][:])  # events came out of order
        assert np.array_equal(monitor_data(seen.latest.values["mean"], 1.0)["mean"], timeline["mean"][:][order])
        best = int(group["delay_counts"][:].argmax())
        mean = group[f"IP/delay_{group['delays'][best]:06d}"][:] / group["delay_counts"][best]
        image, mask = part.images["mean"], system["mask"][:] != 0
    assert image.shape == (5, 16) and np.isfinite(image).sum() == mask.sum()  # two segments with a gap
    assert np.allclose(image[:, :7][mask[0]], mean[0][mask[0]])
    assert np.array_equal(part.images["color"][:, 9:] == 2, mask[1] & (np.load(made.parent / "color.npy")[1] == 2))


def test_decay_times_have_their_power_law(tmp_path):
    """Which a ring around q = 0 is not in."""
    sample = "sim=brownian:shape=32x32:events=400:tau=40:colors=4"
    q = [0, 0.002, 0.003, 0.004]
    frames, color = simulated.frames(sample), simulated.colors(sample)
    correlate(frames, [1, 2, 4, 8, 16, 32], color=color, q=q, fit="single", output=tmp_path / "out.h5", progress=False)
    points, law, text = decay_data(Follower(tmp_path / "out.h5").seen.latest.parts[""].result)
    assert points["x"].tolist() == q[1:]
    slope = np.diff(np.log(law["y"]))[0] / np.diff(np.log(law["x"]))[0]
    assert slope == pytest.approx(-2, abs=0.3) and f"n = {-slope:.1f}"[:5] in text


def test_older_updates_of_a_result_and_of_a_folder(made, tmp_path):
    run = Follower(made)
    folder = Follower(published(made, tmp_path / "out.h5", [50, 100]))
    for each in (run, folder):
        with h5py.File(made) as file:
            curve = file["user/G2_results_at_000050/delay_curve_color_1"][:]
        assert np.array_equal(each.get(50).parts[""].result.curves[1].g2, curve, equal_nan=True)
    assert folder.seen.numbers == [50, 100]
    with pytest.raises(ConfigError, match="no update at 7 events"):
        run.get(7)


def test_states(made, tmp_path):
    """Running, silent, killed, ended, stopped, gone, in the order in which a run may come to them."""
    name = tmp_path / "out.h5"
    folder = published(made, name, [])
    run = Follower(name)
    assert run.seen.state.kind == WAITING and "nobody has begun" in run.seen.state.text
    shutil.copy(made.parent / "mask.npy", folder / "base.h5")  # whatever it begins with
    run.poll()
    assert run.seen.state.kind == DIED and "nothing was published" in run.seen.state.text
    lock = FolderLock(folder)
    run.poll()
    assert run.seen.state.kind == WAITING and "held by" in run.seen.state.text and run.seen.latest is None
    published(made, name, [50])
    run.poll()
    assert run.seen.state.kind == RUNNING and run.seen.latest.processed == 50
    os.utime(folder / "update_000050.h5", (0, 0))
    run.poll()
    assert run.seen.state.kind == SILENT and run.seen.state.since == 0
    lock.release()
    run.poll()
    assert run.seen.state.kind == DIED and f"--join {folder}" in run.seen.state.text
    page = Page(run, live=False)
    assert "DIED" in page._banner.text and "1970-01-01" in page._banner.text
    beyond = replace(run.seen.latest, account=run.seen.latest.account | {"unused": 7})
    assert not any("unused" in line for line in said.warnings_of(run.seen, beyond))  # they were under way
    assert "has not answered" in said.banner(run.seen, looked=1.0) and "has not answered" not in page._banner.text
    shutil.rmtree(folder)
    run.poll()
    assert run.seen.state.kind == GONE and run.seen.latest.processed == 50  # what was seen is not forgotten
    shutil.copy(made, name)
    run.poll()
    assert run.seen.state.kind == ENDED and run.seen.state.text == "end of data" and run.seen.latest.processed == 228
    with h5py.File(name, "r+") as file:
        file["system"].attrs.update({"ended_by": "stopped by SIGTERM", "complete": False})
    run.poll()
    assert run.seen.state.kind == STOPPED
    lines = said.warnings_of(run.seen, replace(run.seen.latest, account=beyond.account))
    assert "the result is not complete: stopped by SIGTERM" in lines and any("7 of " in line for line in lines)


def test_a_run_that_replaces_a_result(made, tmp_path):
    shutil.copy(made, tmp_path / "out.h5")
    run = Follower(tmp_path / "out.h5")
    lock = FolderLock(published(made, tmp_path / "out.h5", [50]))
    run.poll()
    assert (run.seen.state.kind, run.seen.numbers, run.seen.warnings) == (RUNNING, [50], ())
    lock.release()


def test_damaged_update(made, tmp_path):
    """It is said, and the one before is shown."""
    folder = published(made, tmp_path / "out.h5", [50, 100])
    (folder / "update_000100.h5").write_bytes((folder / "update_000100.h5").read_bytes()[:3000])
    seen = Follower(folder).seen
    assert seen.latest.processed == 50 and "update_000100.h5" in seen.trouble
    assert said.warnings_of(seen, seen.latest)[0] == seen.trouble


def test_a_pipe_in_place_of_an_update_holds_nobody_up(tmp_path):
    (tmp_path / "out.h5.inprogress").mkdir()
    os.mkfifo(tmp_path / "out.h5.inprogress" / "update_000100.h5")
    with pytest.raises(ConfigError, match=r"update_000100\.h5' is a pipe, and must be a file"):
        Follower(tmp_path / "out.h5")


def test_warnings_of_the_log_are_at_the_top(made, tmp_path):
    """Of the folder as of the result; nothing in them is taken for HTML."""
    folder = published(made, tmp_path / "out.h5", [50])
    (folder / LOG).write_text(
        "2026-01-01 00:00:00 INFO hello\n2026-01-01 00:00:01 WARNING <script>alert(1)</script>\n2026-01-01 00:0",
        encoding="utf-8",
    )
    run = Follower(folder)
    assert run.seen.warnings == (("<script>alert(1)</script>", "2026-01-01 00:00:01"),) and len(run.seen.log) == 2
    page = Page(run, live=False)
    assert "&lt;script&gt;" in page._warnings.text and "<script" not in page._warnings.text + page._log.text
    with open(folder / LOG, "a", encoding="utf-8") as file:
        file.write("0:02 WARNING another\n")
    run.poll()
    page.tick()
    assert run.seen.warnings[1:] == (("another", "2026-01-01 00:00:02"),) and "another" in page._warnings.text
    log = Follower(made).seen.log
    assert any("update at 100 events" in text for _, _, text in log)


async def _served(made, ask):
    server = PageServer(Follower(made))
    server.start()
    try:
        await ask(server, f"http://127.0.0.1:{server.port}")
    finally:
        server.stop()


def test_who_may_ask(made):
    async def code(url, **headers):
        try:
            return (await AsyncHTTPClient(force_instance=True).fetch(HTTPRequest(url, headers=headers))).code
        except HTTPClientError as error:
            return error.code

    async def ask(server, root):
        page, static = root + server.path, f"{root}{server.path}static/js/bokeh.min.js"
        assert await code(page) == await code(static) == 200
        assert await code(page, Host="localhost:9") == 200  # by a tunnel from another port
        wrong = [root, f"{root}/", f"{root}/ws", f"{root}/static/js/bokeh.min.js", f"{root}/{server.token[:-1]}/"]
        wrong += [f"{root}/{'x' * 32}/", f"{root}/..{server.path}"]
        assert {await code(url) for url in wrong} == {403}
        assert await code(f"{page}static/../../../../../../etc/passwd") in (403, 404)
        assert await code(page, Host="example.org") == await code(page, Host="") == 403
        assert await code(page, Origin="http://example.org") == 403
        socket = root.replace("http", "ws")
        for url, headers in ((f"{socket}/ws", {}), (f"{socket}{server.path}ws", {"Origin": "http://example.org"})):
            with pytest.raises(HTTPClientError, match="403"):
                await websocket_connect(HTTPRequest(url, headers=headers))

    asyncio.run(_served(made, ask))


def test_a_port_that_is_taken(made, tmp_path):
    async def ask(server, _):
        with pytest.raises(ConfigError, match=rf"--port {server.port}: it is taken"):
            PageServer(Follower(made), port=server.port)
        with pytest.raises(ConfigError, match=r"--address 192\.0\.2\.1: this machine has no such"):
            PageServer(Follower(made), "192.0.2.1")

    asyncio.run(_served(made, ask))


@pytest.mark.parametrize("address", ["::zz", "a\0b", "\udcff"])
def test_an_address_that_is_none(address):
    """The port is not to blame."""
    with pytest.raises(ConfigError, match=r"--address .*: (this machine has|no machine can have) "):
        _listening(address, 0)


def test_a_page_in_a_file(made, tmp_path):
    """Nothing is loaded from anywhere."""
    run = run_within(watch.main, made, "--html", "page.html", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (0, "page.html\n"), run.stderr
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    outside = re.sub(r"<(script|style)\b[^>]*>.*?</\1>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?:", outside) and not re.search(r"<script[^>]*\bsrc=", text)
    assert set(re.findall(r"<link[^>]*href=\"([^\"]*)", text)) == {"data:,"}
    assert "ENDED" in text and "delay [pulses]" in text


@pytest.mark.parametrize(
    ("args", "said_is"),
    [
        (["none.h5"], "there is no result 'none.h5', and no run that is writing it"),
        (["config.py"], "'config.py' is not a readable result file"),
        ([".inprogress"], "is a folder: name a result in it"),
        (["void.h5"], "'void.h5' is not a readable result file: it has no group /user"),
        (["out.h5", "--html", "page.txt"], "--html page.txt: its name must end with .html"),
        (["out.h5", "--html", "none/page.html"], "No such file or directory"),
        (["out.h5", "--port", "70000"], "'70000' is not a whole number from 0 to 65,535"),
        (["out.h5", "--iX", "color.npy"], "--iX and --iY belong together"),
    ],
)
def test_wrong_arguments(made, args, said_is):
    h5py.File(made.parent / "void.h5", "w").close()
    run = run_within(watch.main, *args, cwd=made.parent)
    assert run.returncode == (1 if "none/page.html" in args else 2) and said_is in run.stderr
    assert run.stderr.count("\n") == 1 or "usage" in run.stderr


def test_without_bokeh(made, monkeypatch):
    monkeypatch.setattr(watch.importlib.util, "find_spec", lambda name: None)
    run = run_within(watch.main, "out.h5", cwd=made.parent)
    assert run.returncode == 2 and "pip install 'parcorana[watch]'" in run.stderr


def test_memory_stays_flat(made, tmp_path):
    """However many updates come: each is read once for all viewers, few are kept, nothing drawn is left behind."""
    name = tmp_path / "out.h5"
    folder = published(made, name, [50])
    lock, run = FolderLock(folder), Follower(name)
    pages = [Page(run) for _ in range(3)]
    for page in pages:
        page.attach(Document())
    source = folder / "update_000050.h5"

    def more(numbers):
        for number in numbers:
            with h5py.File(source) as old, h5py.File(folder / ".new", "w") as file:
                old.copy("system", file)
                old.copy("user/G2_results_at_000050", file, f"user/G2_results_at_{number:06d}")
            os.replace(folder / ".new", folder / f"update_{number:06d}.h5")
            run.poll()
            for page in pages:
                page.tick()
                assert page.update is run.seen.latest and page.update.processed == number
                page.tick()
        gc.collect()
        return [sum(isinstance(each, kind) for each in gc.get_objects()) for kind in (Model, Update)]

    before = more(range(51, 60))
    assert more(range(60, 64)) == before and before[1] <= 9
    assert len(run._kept) == 8 and len(run.seen.numbers) == 14
    lock.release()


def test_classes_of_one_run(tmp_path):
    """Each is chosen, with what it has; a page without a server shows all of them."""
    frames = np.random.default_rng(0).poisson(2, (60, 2, 4)).astype(np.uint16)
    np.save(tmp_path / "color.npy", np.array([[1, 1, 1, 1], [2, 2, 2, 0]]))
    system = {"times": 20, "delays": [1, 2, 5], "update": 30, "h5output": str(tmp_path / "out.h5")}
    classes = [G2IncrementalAccumulator, PhotonStatistics, TwoTime]
    run_local(tmp_path, classes, np.arange(60), frames, user={"color": str(tmp_path / "color.npy")}, **system)
    run = Follower(tmp_path / "out.h5")
    page = Page(run)
    page.attach(Document())
    assert page._class.options == ["G2IncrementalAccumulator", "PhotonStatistics", "TwoTime"]
    shown = {}
    for name in page._class.options:
        page._class.value = name
        shown[name] = [each.title.text.text.split(",")[0].split(";")[0] for each in page._grid.children[:-2]]
    assert "Delay curves" in shown["G2IncrementalAccumulator"] and "Two times" in shown["TwoTime"]
    assert "Photon statistics" in shown["PhotonStatistics"] and "Delay curves" not in shown["TwoTime"]
    with h5py.File(tmp_path / "out.h5") as file:
        group = file["user/TwoTime"]
        last = group[max(name for name in group if name.startswith("C2_at_"))]
        page._class.value, page._color.value = "TwoTime", "2"
        (drawn,) = page._two_times._image.data["image"]
        assert np.allclose(drawn, last["color_2"][:].T, equal_nan=True)
        counts = file["user/PhotonStatistics"]
        counts = counts[max(name for name in counts if name.startswith("photons_at_"))]["counts_color_1"][:]
    page._class.value = "PhotonStatistics"
    points = page._counted._points.data
    part = counts[0, :-1][counts[0, :-1] > 0] / counts[0].sum()  # the first exposure comes first
    assert np.allclose(points["y"][points["color"] == 1][: len(part)], part)
    assert all(Page(run, live=False, of=name).of == name for name in page._class.options)


def test_colours_that_are_named():
    """Of many; what is not there is said."""
    chooser = Chooser(True, lambda: None)
    (names,) = chooser.layout.select({"name": "colors"})
    for named, offered, said_is in (
        ("", 24, "24 of 200 colours are here; name others, as 1-4,7"),
        ("2-4,300", 3, "3 of 200 colours are here; name others, as 1-4,7"),
        ("300", 24, "none of those named is there: 24 of 200 colours are here; name others, as 1-4,7"),
    ):
        names.value = named
        assert len(chooser.offer(range(1, 201), str)) == offered and names.title == said_is
    names.value = "x"
    assert "'x' is not a number" in names.title
