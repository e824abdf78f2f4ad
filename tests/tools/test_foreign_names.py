"""Names of files, and what is in them, are shown for what they are: no terminal, log or picture takes them for more."""

import json
import logging
import os

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure

from parcorana.errors import escaped, put, speaks, warn
from parcorana.inprocess.result import OpenedResult
from parcorana.results.photons import Photons
from parcorana.results.twotime import TwoTimeResult
from parcorana.tools import export, plot, watch
from parcorana.tools.ranks import set_log
from parcorana.view.texts import plain, take_as_they_are

EVIL = "a\x1b[2J\nb\r\u202ec$\\frac{$\udcff"


def test_lines_are_lines(capsys):
    put(f"result: {EVIL}")
    warn(EVIL)
    out, err = capsys.readouterr()
    assert out == "result: a\\x1b[2J\\nb\\r\\u202ec$\\frac{$\\udcff\n"
    assert err.startswith("warning: a\\x1b[2J\\nb") and err.count("\n") == 1


def test_what_a_command_prints_reaches_a_terminal_as_text(capsys):
    assert speaks("any")(lambda argv: print(EVIL))() is None
    assert capsys.readouterr().out == "a\\x1b[2J\nb\\r\\u202ec$\\frac{$\\udcff\n"


def test_names_that_a_shell_gives_and_texts_of_files_are_text(capsys):
    with pytest.raises(SystemExit):
        export.main(["a.h5", f"{EVIL}.h5"])
    err = capsys.readouterr().err
    assert err.endswith("unrecognized arguments: a\\x1b[2J\\nb\\r\\u202ec$\\frac{$\\udcff.h5\n")
    facts = {"complete": False, "ended_by": EVIL, "account": {"processed": 1}, "mask": np.ones(3, bool)}
    shown = OpenedResult(f"{EVIL}.h5", None, None, None, facts), Photons(EVIL, 1, np.ones(1, int), {}, {})
    empty = np.zeros(0, int)
    for one in (*shown, TwoTimeResult(EVIL, 1, 1.0, empty, 1, empty, {}, {})):
        assert repr(one).isprintable() and "a\\x1b[2J\\nb" in repr(one)


def test_a_message_of_the_log_is_one_line(capsys):
    log = logging.getLogger("parcorana")
    before = log.handlers[:], log.propagate, log.level
    try:
        set_log("INFO", 0)
        log.info("h5=%s", EVIL)
        log.info("%s", "a table\nof lines", extra={"lines": True})
        logging.getLogger("parcorana.user").info("mine:\n%s", "\x1b[2J")
    finally:
        log.handlers[:], log.propagate, level = before
        log.setLevel(level)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert "INFO h5=a\\x1b[2J\\nb\\r" in lines[0] and lines[4] == "\\x1b[2J"


def test_pictures_draw_letters():
    figure = Figure()
    axes = figure.add_subplot(xscale="log", xlim=(1, 1e4))
    for text in (EVIL, "$x_{$", r"\$", "$" + r"\sqrt{" * 300 + "}" * 300 + "$", "plain"):
        axes.text(0, 0, text)
    axes.set_title(EVIL)
    take_as_they_are(figure)
    figure.draw_without_rendering()
    assert axes.texts[-1].get_text() == "plain"
    assert any("10^{2}" in label.get_text() for label in axes.get_xticklabels()), "numbers at axes stay formulas"
    assert plain("a$b\nc\x1b") == r"a\$b" + "\n" + r"c\x1b"


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    from conftest import Setup

    setup = Setup(tmp_path_factory.mktemp("foreign"))
    setup.write("G2IncrementalAccumulator", values={})
    assert setup.drive().returncode == 0
    return setup.folder / "out.h5"


@pytest.mark.parametrize("rate", [0.0, np.nan, 1e-300, "fast"])
def test_a_rate_that_is_none(result, rate, tmp_path, capsys):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(result.read_bytes())
    with h5py.File(bad, "r+") as file:
        for group in file["user"].values():
            group["delays"].attrs["rate"] = rate
    assert plot.main([str(bad), "-o", str(tmp_path / "a.png")]) == 2
    err = capsys.readouterr().err
    assert "delays@rate is " in err and "must be pulses per second" in err and err.count("\n") == 1


def test_names_and_texts_that_are_none(result, tmp_path, capsys):
    bad = os.fsdecode(os.fsencode(tmp_path) + b"/plain $x_{$ \xff\x1b.h5")
    with open(bad, "wb") as file:
        file.write(result.read_bytes())
    with h5py.File(bad, "r+") as file:
        del file["system/system_params"]
        file["system/system_params"] = json.dumps({"dataset": "$\\frac{$ \ud800"})
        for group in file["user"].values():
            group.attrs["normalization"] = "$\\frac{$"
    picture = os.path.join(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.png"))
    assert plot.main([bad, "-o", picture]) == 0
    assert capsys.readouterr().out == f"{escaped(picture)}\n"
    assert os.path.getsize(picture) > 1000


def test_files_that_are_made_of_a_result_of_such_a_name(result, tmp_path, capsys):
    bad = os.fsdecode(os.fsencode(tmp_path) + b"/<b>\xff\x1b.h5")
    with open(bad, "wb") as file:
        file.write(result.read_bytes())
    table, page, other = (tmp_path / name for name in ("a.csv", "a.html", "a.hdf"))
    assert export.main([bad, "--csv", str(table), "-o", str(other)]) == 0
    assert watch.main([bad, "--html", str(page)]) == 0
    assert "\\udcff" in table.read_text(encoding="utf-8") and "<b>\\udcff" not in page.read_text(encoding="utf-8")
    with h5py.File(other) as file:
        assert file["entry/entry_identifier"].asstr()[()] == "<b>\\udcff\\x1b.h5"
    assert "Traceback" not in capsys.readouterr().err


def test_parameters_that_are_nested_without_end(result, tmp_path, capsys):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(result.read_bytes())
    with h5py.File(bad, "r+") as file:
        del file["system/system_params"]
        file["system/system_params"] = "[" * 100_000
    assert plot.main([str(bad), "-o", str(tmp_path / "a.png")]) == 2
    assert "is not JSON" in capsys.readouterr().err


def test_a_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert speaks("any")(pytest.fail)(["-c", "a.py"]) == 2
    assert capsys.readouterr().err == "any: the folder that it was started in is gone: cd to one that is there\n"
