"""The table beside a colour file: found, read, kept in the result, and every fault of it told."""

import re

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcorana.curves.dispersion import fit_dispersion
from parcorana.curves.rounding import time_with_error
from parcorana.detector import colortable
from parcorana.errors import ConfigError
from parcorana.results.reading import read_result
from parcorana.tools import plot

FULL = """color,ring,sector,elements,q_mean,q_min,q_max,unit
1,1,1,20,0.002,0.001,0.003,1/angstrom
2,1,2,18,0.0021,0.001,0.003,1/angstrom
"""


def test_names_beside_a_colour_file():
    assert colortable.beside("run/first_color_ndarrCoords.npy") == "run/first_colors.csv"
    assert colortable.beside("rings.npy") == "rings_colors.csv"


def read(tmp_path, text):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    return colortable.read_table(tmp_path / "t.csv")


def test_what_the_mask_tool_writes(tmp_path):
    table = read(tmp_path, FULL)
    assert (table.kind, table.unit) == ("q", "1/angstrom")
    assert table.colors.tolist() == [1, 2] and table.elements.tolist() == [20, 18]
    assert table.name(2) == "q = 0.0021 1/angstrom, sector 2" and table.name(3) == ""
    np.testing.assert_array_equal(table.of([2, 7, 1]), [0.0021, np.nan, 0.002])


def test_a_table_of_ones_own(tmp_path):
    table = read(tmp_path, "q,color\n0.1,3\n0.05,1\n")
    assert table.colors.tolist() == [1, 3] and table.mean.tolist() == [0.05, 0.1]
    assert table.name(3) == "q = 0.1 1/angstrom" and np.isnan(table.low).all()


def test_q_is_in_angstrom_whatever_the_unit(tmp_path):
    for unit, factor in (("1/angstrom", 1), ("1/nm", 0.1), ("1/m", 1e-10)):
        table = read(tmp_path, f"color,q,unit\n1,0.5,{unit}\n")
        assert table.tells_q and table.unit == unit
        np.testing.assert_allclose(table.q([1, 2]), [0.5 * factor, np.nan])
    for kind, unit in (("q", "furlongs"), ("phi", "1/nm")):
        table = read(tmp_path, f"color,{kind}_mean,unit\n1,0.5,{unit}\n")
        assert not table.tells_q and np.isnan(table.q([1])).all() and table.of([1]) == 0.5


WRONG = {
    "": "first line must name the columns color and q",
    "color,ring\n1,1\n": "first line must name the columns color and q",
    "color,tau_mean\n1,2\n": "what colours stand for cannot be called 'tau': results have that name",
    "color,a/b_mean\n1,2\n": "cannot be called 'a/b'",
    "color,_mean\n1,2\n": "cannot be called ''",
    "color,q\n1\n": "line 2 has 1 columns, and the first line names 2",
    "color,q\n1,0.1\n1,0.2\n": "each in one line",
    "color,q\n0,0.1\n": "above 0",
    "color,q\n1.5,0.1\n": "line 2: color must be a whole number, not '1.5'",
    "color,q\n,0.1\n": "line 2: color must be a whole number, not ''",
    "color,q\n1,wide\n": "line 2: q must be a number, not 'wide'",
    "color,q\n1,inf\n": "line 2: q must be a number, not 'inf'",
    "color,q,unit\n1,1,a\n2,2,b\n": "must have one unit",
    "color,q\n1,\x00\n": "q must be a number",
}


@pytest.mark.parametrize("text", WRONG)
def test_faults_are_one_sentence(tmp_path, text):
    with pytest.raises(ConfigError, match=re.escape(WRONG[text])):
        read(tmp_path, text)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "t.csv"
    path.write_bytes(content)
    try:
        assert colortable.read_table(path).kind
    except ConfigError as error:
        said = str(error)
        assert said.startswith("the table of colours") and said.isprintable(), said


# -- whole runs ----------------------------------------------------------------


def table_for(setup, colors=(1, 2, 3), kind="q"):
    lines = "".join(f"{c},{0.01 * c}\n" for c in colors)
    (setup.folder / "color_colors.csv").write_text(f"color,{kind}\n{lines}", encoding="utf-8")


def result(setup):
    with h5py.File(setup.folder / "out.h5") as file:
        return read_result(file, "out.h5")


@pytest.mark.parametrize("ranks", [0, 4])
def test_a_run_keeps_the_table(setup, ranks):
    table_for(setup)
    setup.write("G2IncrementalAccumulator", user={"color": "color.npy", "fit": "single"})
    run = setup.drive(ranks=ranks)
    assert run.returncode == 0, run.stderr
    assert "color_table" not in run.stderr
    found = result(setup)
    assert found.name_of(2) == "colour 2, q = 0.02 1/angstrom"
    with h5py.File(setup.folder / "out.h5") as file:
        (last,) = (file["user"][name] for name in sorted(file["user"])[-1:])
        assert last["delay_curve_color_2"].attrs["q"] == 0.02
        assert last["delay_curve_color_2"].attrs["q_unit"] == "1/angstrom"
        np.testing.assert_array_equal(last["fits/q"][:], [0.01, 0.02, 0.03])
        np.testing.assert_array_equal(last["fits/tau_seconds"][:], last["fits/tau"][:] / found.rate)


def test_a_table_that_does_not_fit_is_a_warning(setup):
    table_for(setup, colors=(1,))
    setup.write()
    assert "color_table: is it the table of this colour file? it has no colour 2 (and 1 more)" in setup.drive().stderr
    (setup.folder / "color_colors.csv").write_text("color\n1\n", encoding="utf-8")
    log = setup.drive("--overwrite")
    assert log.returncode == 0 and "curves are known by their colours only" in log.stderr
    assert result(setup).table is None


def test_a_table_that_is_named(setup):
    (setup.folder / "mine.csv").write_text("color,q\n1,0.1\n2,0.2\n3,0.3\n", encoding="utf-8")
    setup.write(user={"color": "color.npy", "color_table": "mine.csv"})
    assert setup.drive().returncode == 0
    assert result(setup).name_of(1) == "colour 1, q = 0.1 1/angstrom"
    setup.write(user={"color": "color.npy", "color_table": "other.csv"})
    run = setup.drive("--overwrite")
    assert run.returncode == 2 and "the table of colours 'other.csv' does not exist" in run.stderr
    table_for(setup)
    setup.write(user={"color": "color.npy", "color_table": False})
    assert setup.drive("--overwrite").returncode == 0 and result(setup).table is None


def test_times_against_q(setup, capsys, monkeypatch):
    monkeypatch.chdir(setup.folder)
    setup.write()
    assert setup.drive().returncode == 0
    assert plot.main(["out.h5", "--tau-q", "--fit", "single", "-o", "tau.png"]) == 2
    assert "does not know the q of its colours" in capsys.readouterr().err
    table_for(setup)
    setup.write()
    assert setup.drive("--overwrite").returncode == 0
    assert plot.main(["out.h5", "--tau-q", "-o", "tau.png"]) == 2
    assert "has no fit: add --fit single" in capsys.readouterr().err


# -- the power law ---------------------------------------------------------------


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_power_law(exponent):
    rng = np.random.default_rng(3)
    q = np.geomspace(0.002, 0.02, 12)
    true = 5e-4 * q**-exponent
    error = true * rng.uniform(0.01, 0.05, 12)
    found = fit_dispersion(q, true + error * rng.normal(size=12), error)
    assert abs(found.exponent - exponent) < 4 * found.exponent_err < 0.1
    assert found.is_diffusion == (exponent == 2)
    if found.is_diffusion:  # 1/tau = D q^2, in um^2 of 1e8 square angstrom
        assert abs(found.diffusion - 2e3 * 1e-8) < 4 * found.diffusion_err < 2e-6
    np.testing.assert_allclose(found.tau(q), true, rtol=0.1)


def test_scatter_beyond_the_errors_makes_them_larger():
    q = np.geomspace(0.002, 0.02, 8)
    wild = 5e-4 * q**-2 * np.tile([0.5, 2], 4)
    found = fit_dispersion(q, wild, 0.01 * wild)
    assert found.scatter > 100 and found.diffusion_err > 0.1 * found.diffusion


def test_points_without_errors_and_too_few():
    assert fit_dispersion(*np.ones((3, 5))) is None
    assert fit_dispersion(np.array([1.0, 2, 3]), np.array([1.0, np.nan, 1]), np.ones(3)) is None


@pytest.mark.parametrize(
    ("seconds", "error", "text"),
    [
        (2.5, 0.1, "2.50 ± 0.10 s"),
        (2.65e-3, 8e-5, "2.650 ± 0.080 ms"),
        (4.4e-7, 1e-8, "440 ± 10 ns"),
        (3e-6, 1e-7, "3.00 ± 0.10 µs"),
    ],
)
def test_times_as_they_are_read(seconds, error, text):
    assert time_with_error(seconds, error) == text
    assert time_with_error(seconds, error, "+-") == text.replace("±", "+-").replace("µ", "u")
