"""Every command's arguments: values that begin with a minus, after a space or an equals sign."""

import argparse
import ast
from pathlib import Path

import numpy as np
import pytest
from conftest import status_of

import parcorana
from parcorana.detector.geometry import Geometry
from parcorana.detector.images import segments_apart
from parcorana.tools import arguments, compare, maskcolor, merge, plot
from parcorana.tools.parser import Parser

PACKAGE = Path(parcorana.__file__).parent
START = ("start", "-d", "sim=brownian:shape=40x60:events=20")
# command, what it needs beside the option, and its parser
COMMANDS = {
    "start": (START, maskcolor.make_parser),
    "check": (("check",), maskcolor.make_parser),
    "driver": ((), arguments.make_parser),
    "plot": (("result.h5",), plot.make_parser),
    "merge": (("result.h5", "-o", "out.h5"), merge.make_parser),
}


def options_of(command):
    needed, make = COMMANDS[command]
    parser = make()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parser = action.choices[needed[0]]
    return [text for action in parser._actions if action.nargs != 0 for text in action.option_strings]


def outcome(command, words, capsys):
    needed, make = COMMANDS[command]
    try:
        return vars(make().parse_args([*needed, *words]))
    except SystemExit:
        return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "value", ["-5", "-200.5,30", "-.5,-3", "-1e-3,5", "-1e3", "-5,10,8,20", "-3,5,12", "-200.5, 30", "-1-4,7", "-5.h5"]
)
def test_a_space_is_as_good_as_an_equals_sign(command, value, capsys):
    """Of every option: the same value, or the same sentence."""
    for option in options_of(command):
        found = [outcome(command, words, capsys) for words in ([option, value], [f"{option}={value}"])]
        assert found[0] == found[1], option
        assert isinstance(found[0], dict) or "expected" not in found[0], found


def test_what_is_no_value_stays_so(capsys):
    parser = Parser()
    parser.add_argument("files", nargs="*")
    parser.add_argument("-n", type=float)
    parser.add_argument("--center", nargs="?", const="here")
    assert vars(parser.parse_args(["--center", "--", "-5.h5"])) == {"files": ["-5.h5"], "n": None, "center": "here"}
    assert parser.parse_args(["--center", "-n", "-1e-3", "a"]).n == -1e-3
    with pytest.raises(SystemExit):
        parser.parse_args(["--center", "-x"])
    assert "unrecognized arguments: -x" in capsys.readouterr().err


def test_all_commands_have_this_parser(capsys):
    for path in PACKAGE.rglob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
        assert ("ArgumentParser" in names) == (path == PACKAGE / "tools" / "parser.py"), path
    assert status_of(compare.main, "a.h5", "b.h5", "--rtol", "-1e-3") == 2
    assert "argument --rtol: '-1e-3' is not a number from 0 on" in capsys.readouterr().err  # it is no option


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("center", ["-200.5,30", "-2.005e2, 3e1", "-.5,-7"])
def test_the_beam_beside_the_detector(separate, center, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def made(*pairs):
        words = [word for pair in pairs for word in (pair if separate else ("=".join(pair),))]
        assert status_of(maskcolor.main, *START, "--force", "-b", "m", "--by", "radius", "-c", "3", *words) == 0
        capsys.readouterr()
        return np.load("m_color_ndarrCoords.npy")

    geometry = Geometry.of_layout(segments_apart((40, 60)), "")
    row, column = (float(part) for part in center.split(","))
    radius = geometry.radius((row, column))
    ring = np.clip((radius - radius.min()) / np.ptp(radius) * 3, 0, 2.9).astype(int) + 1
    color = made(("--center", center))
    assert np.count_nonzero(color != ring) <= 3
    rows, columns = np.indices(color.shape)
    out = (rows < 8) & (columns >= 10) & (columns < 20) | (np.hypot(rows + 3, columns - 5) <= 12)
    color = made(("--center", center), ("--rectangle", "-5,10,8,20"), ("--circle", "-3,5,12"))
    assert np.array_equal(color == 0, out)
