"""The documentation: its blocks run, its links lead somewhere, its tables say what the code says.

A ```` ```python ```` or ```` ```sh ```` block of README.md or docs/*.md is run, in the order of its document and in one
folder for each document. An HTML comment on the line before a block changes that:

``<!-- file: NAME -->``
    The block is saved as NAME; a later block uses it.
``<!-- not run: REASON -->``
    The block is left alone.

A section with the line ``<!-- needs MODULE -->`` is run only where that module is installed. Blocks of other
languages are output or pictures, and not run. The blocks of docs/validation.md and docs/first-night.md are run
by test_validation.py and test_first_night.py.
"""

import argparse
import ast
import dataclasses
import importlib.util
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import nbformat
import numpy as np
import pytest
from conftest import QUICK
from effort import PATIENCE
from nbclient import NotebookClient
from sources import ENVIRONMENT

import parcorana
from parcorana import MpiParams, curves, userg2
from parcorana.correlation.delays import multitau_levels
from parcorana.events import brownian, simulated
from parcorana.events.brownian import Brownian
from parcorana.job import config, keys
from parcorana.photons import parameters
from parcorana.results.twotime import read_two_time
from parcorana.tools import export, maskcolor, merge, plot, watch
from parcorana.tools.arguments import make_parser
from parcorana.tools.compare import compare

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
DOCS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
RUN_ELSEWHERE = {"validation.md", "first-night.md"}
OF_THE_SITE = {"index.md", "api.md"}  # little without what Sphinx makes of it

_spec = importlib.util.spec_from_file_location("make_pictures", ROOT / "docs" / "make_pictures.py")
make_pictures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_pictures)

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOTE = re.compile(r"<!-- (file|not run): (.+) -->\n\Z")
SECTION = re.compile(r"^## .*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"^<!-- needs (\w+) -->$", re.MULTILINE)


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def blocks_of(text):
    """Return (language, note, argument, body) of the blocks that are Python or shell."""
    found = []
    for block in BLOCK.finditer(text):
        language, body = block.groups()
        if language in ("python", "sh"):
            note = NOTE.search(text, 0, block.start())
            found.append((language, *(note.groups() if note else (None, None)), body))
    return found


def run(command, folder):
    """Run a block as its reader would, with warnings as errors; never longer than two minutes."""
    env = {**os.environ, **ENVIRONMENT, **QUICK, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["timeout", "-k", "5", str(PATIENCE), *command],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command[-1]}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def installed(text):
    """Return a document without the sections whose module is not installed."""

    def kept(section):
        needs = NEEDS.search(section[0])
        return section[0] if needs is None or importlib.util.find_spec(needs[1]) else ""

    return SECTION.sub(kept, text)


def run_document(text, folder):
    """Run all blocks of a document, with the examples beside it; return what each printed."""
    (folder / "examples").unlink(missing_ok=True)
    (folder / "examples").symlink_to(ROOT / "examples")
    said, blocks = [], blocks_of(installed(text))
    for k, (language, note, argument, body) in enumerate(blocks):
        if note == "file":
            (folder / argument).write_text(body, encoding="utf-8")
            used = (rest for _, other, _, rest in blocks[k + 1 :] if other != "not run")
            assert any(Path(argument).stem in rest for rest in used), f"nothing runs {argument}"
        elif note is None:
            shell = ["bash", "-e", "-u", "-o", "pipefail", "-c", body]
            said.append(run(shell if language == "sh" else [sys.executable, "-c", body], folder))
    return said


def table_of(text, first):
    """Return the rows of the table whose heading begins with the cell `first`, without heading."""
    lines = text.splitlines()
    (start,) = [k for k, line in enumerate(lines) if line.startswith(f"| {first} |")]
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def section(text, title):
    """Return what stands below a heading, up to the next one of the same or a higher level."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,6}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {title!r}"
    level, start = len(found[1]), found.start(2)
    end = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE).search(text, start)
    return text[start : end.start() if end else len(text)]


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


# -- blocks --------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Return a function that runs a document, once, and returns its folder."""
    folders = {}

    def folder_of(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("docs")
            (doc,) = [doc for doc in DOCS if doc.name == name]
            run_document(doc.read_text(encoding="utf-8"), folders[name])
        return folders[name]

    return folder_of


@pytest.mark.parametrize("name", [doc.name for doc in DOCS if doc.name not in RUN_ELSEWHERE])
def test_blocks(name, ran):
    ran(name)


def test_delay_curve_of_the_readme(ran):
    """The curve that a reader sees first is the true one, but for what one short run scatters."""
    dataset = re.search(r'"dataset": "([^"]+)"', text_of("README.md"))[1]
    with h5py.File(ran("README.md") / "myresult.h5") as file:
        result = file["user/G2_results_at_002000"]
        true = simulated.true_g2(dataset, result["delays"])
        np.testing.assert_allclose(result["delay_curve_color_1"], true, atol=0.02, rtol=0)


def test_structure_function_of_the_user_class(ran):
    """docs/user-code.md: the squared difference is what the simulator's g2 says it is."""
    delays = np.array([1, 2, 5, 10, 20, 50, 100])
    true = 2 * 10**2 * 0.5 * (1 - np.exp(-2 * delays / 30))
    with h5py.File(ran("user-code.md") / "structure.h5") as file:
        np.testing.assert_allclose(file["user/structure_at_000600/mean"], true, rtol=0.1)


def test_filter_of_the_user_class(ran, monkeypatch):
    """docs/user-code.md: an event without beam is filtered whatever stands in gaps and dead pixels."""
    monkeypatch.syspath_prepend(ran("user-code.md"))
    from careful import Careful

    mask = np.arange(12).reshape(3, 4) % 4 > 0
    user = Careful({"dark": 0.5}, {}, MpiParams(1, "server", mask, slice(0, 9)))
    dark = np.where(mask, 0, 65535).astype(np.uint16)
    assert user.finalDataArray(dark, None) is None
    assert (user.finalDataArray(np.where(mask, 5, 0).astype(np.uint16), None)[mask] == 4.5).all()


def test_profile_of_a_class(ran):
    """docs/performance.md: the profiler sees the callbacks, as often as they are called."""
    code = "import pstats; pstats.Stats('profile.out').print_stats('mine.py|parcorana/g2/')"
    said = run([sys.executable, "-c", code], ran("performance.md"))
    assert re.search(r"^ *2000 .*mine.py:\d+\(adjustData\)$", said, re.MULTILINE), said
    assert re.search(r"parcorana/g2/\w+.py:\d+\(enter\)$", said, re.MULTILINE), said


def test_ages_of_the_page_of_calculations(ran):
    """docs/correlations.md: what the map of two times shows is how the sample ages."""
    text = text_of("docs/correlations.md")
    sample = Brownian.of(re.search(r'"dataset": "([^"]+:colors=[^"]+)"', text)[1])  # of several.py
    first, last = (sample.tau / 2 * (1 + sample.aging * age) for age in (0, sample.events))
    assert f"slows down from {first:.0f} pulses to {last:.0f} in colour 1" in text
    with h5py.File(ran("correlations.md") / "several.h5") as file:
        result = read_two_time(file["user/TwoTime"], "several.h5")
    middle = result.ages + (result.width - 1) / 2
    for color in (1, 2):
        off = result.maps[color] - simulated.true_c2(sample, middle[:, None], middle, color)
        assert np.isfinite(off).all() and np.sqrt(np.mean(off**2)) < 0.05
    early, late = (result.cut(1, band)[1][100 // result.width] for band in ((0, 1000), (2000, 3000)))
    assert early < 1.25 and late > 1.35


def test_smoothing_of_multitau():
    """docs/correlations.md: the bias is that of all pairs of pulses of two frames, and below what the page says."""
    largest = {8: 1.9e-3, 16: 6e-4}
    assert "at most 1.9e-3 of the contrast with 8 channels, and by 6e-4 with 16" in text_of("docs/correlations.md")
    for channels, most in largest.items():
        delays = np.array(parcorana.make_multitau_delays(2000, channels))
        level = multitau_levels(delays, channels)
        found = [make_pictures.smoothing(delays, level, tau).max() for tau in np.geomspace(3, 600, 40)]
        assert 0.9 * most < max(found) < most
        for delay, k in zip(delays[::9], level[::9], strict=True):
            pulse = np.arange(2**k)
            pairs = np.exp(-(delay + pulse - pulse[:, None]) / 50)
            bias = make_pictures.smoothing(delay, k, 50)
            assert pairs.mean() - np.exp(-delay / 50) == pytest.approx(bias, rel=1e-9, abs=1e-15)


def test_picture_of_the_results(ran):
    assert (ran("results.md") / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_notebook_of_the_results(ran):
    """docs/notebook.ipynb on the result of docs/results.md: every cell runs, and draws what it says."""
    notebook = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept without output: others have other files"
    folder = {"metadata": {"path": str(ran("results.md"))}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Jupyter's own packages have to say
        NotebookClient(notebook, timeout=PATIENCE, resources=folder).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    assert "complete: True - end of data" in text and "'processed': 1000" in text and "colour 3: tau = 0.03" in text
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert not any(output.output_type == "stream" and output.name == "stderr" for output in outputs), text


def test_notebook_of_an_array(tmp_path):
    """docs/array.ipynb: from frames to decay times, in ten lines."""
    notebook = nbformat.read(ROOT / "docs" / "array.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert sum(bool(line.strip()) for line in first.splitlines()) <= 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Jupyter's own packages have to say
        NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    assert text.count("tau = ") == 5 and sum("image/png" in output.get("data", {}) for output in outputs) == 2, text
    taus = [float(tau) for tau in re.findall(r"tau = (\S+)", text)]
    assert taus == sorted(taus, reverse=True)


def test_blocks_that_fail_are_noticed(tmp_path):
    for block in ("```sh\nfalse\ntrue\n```\n", "```sh\nfalse | cat\n```\n", "```python\n1 / 0\n```\n"):
        with pytest.raises(AssertionError, match="exit 1"):
            run_document(block, tmp_path)
    with pytest.raises(AssertionError, match="nothing runs"):
        run_document("<!-- file: alone.py -->\n```python\n1\n```\n", tmp_path)
    assert run_document("<!-- not run: it must not be -->\n```sh\nfalse\n```\n", tmp_path) == []
    note_elsewhere = "<!-- not run: too far away -->\n\n```sh\nfalse\n```\n"
    with pytest.raises(AssertionError, match="exit 1"):
        run_document(note_elsewhere, tmp_path)


def test_sections_that_need_a_module(tmp_path):
    text = (
        "## A\n\n```sh\necho a\n```\n\n## B\n\n<!-- needs {} -->\n\n```sh\necho b\n```\n\n## C\n\n```sh\necho c\n```\n"
    )
    assert run_document(text.format("h5py"), tmp_path) == ["a\n", "b\n", "c\n"]
    assert run_document(text.format("no_such_module"), tmp_path) == ["a\n", "c\n"]


def test_most_blocks_are_run():
    notes = [note for doc in DOCS for _, note, _, _ in blocks_of(doc.read_text(encoding="utf-8"))]
    assert len(notes) > 20
    assert notes.count("not run") * 10 <= len(notes)


# -- links ---------------------------------------------------------------------


def anchors_of(path):
    """Return the anchors that GitHub gives the headings of a document."""
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.name)
def test_links(doc):
    text = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", doc.read_text(encoding="utf-8")))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", link):
            continue
        target, _, anchor = link.partition("#")
        path = (doc.parent / target).resolve() if target else doc
        assert path.is_relative_to(ROOT) and path.is_file(), f"{doc.name}: {link} leads nowhere"
        if anchor:
            assert anchor in anchors_of(path), f"{doc.name}: {link}: no such heading"


@pytest.mark.parametrize(
    "name", ["CONTRIBUTING.md", "docs/architecture.md", "docs/performance.md", "docs/reliability.md"]
)
def test_the_files_that_pages_for_developers_name(name):
    """A file that was moved must not leave its old name behind."""
    files = ["mine.py", *(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.*") if ".venv" not in path.parts)]
    for file in re.findall(r"`([\w./-]+\.(?:py|c|h|pyx|pxi|pxd))`", text_of(name)):
        assert any(f"/{path}".endswith(f"/{file}") for path in files), f"{name}: there is no {file}"


def test_every_document_is_linked_from_the_readme():
    text = text_of("README.md")
    for doc in DOCS:
        if doc.name != "README.md" and doc.name not in OF_THE_SITE:
            assert f"]({doc.relative_to(ROOT)}" in text


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "img").iterdir():
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size < 200_000


# -- docs/config.md ------------------------------------------------------------

CONFIG = text_of("docs/config.md")
KINDS = {str: "str", int: "int", float: "float", bool: "bool", list: "list", dict: "dict", type: "class"}


def test_system_params():
    rows = {
        quoted(key)[0]: (kind, default) for key, kind, default, _ in table_of(section(CONFIG, "system_params"), "key")
    }
    assert rows.keys() == keys.KEYS.keys()
    for key, (kind, default) in keys.KEYS.items():
        documented, value = rows[key]
        assert documented.split()[0] == KINDS[kind], key
        if default is keys.REQUIRED:
            assert value == "required", key
        elif key == "h5output":
            assert value == "from `dataset`"  # None has a meaning of its own: no file
        else:
            assert ast.literal_eval(quoted(value)[0]) == default, key
            assert type(ast.literal_eval(quoted(value)[0])) is type(default), key


def test_every_key_has_an_effect():
    used = {field.name for field in dataclasses.fields(config.Config)} | {"testmask", "testnumevents"}  # of a mode
    assert keys.KEYS.keys() <= used


def test_defaults_of_system_params(setup, monkeypatch):
    monkeypatch.chdir(setup.folder)
    required = {key: setup.system[key] for key in ("dataset", "mask", "times", "delays")}
    resolved = config.resolve_config(required | {"user_class": userg2.G2atEnd}, {}).system_params
    for key, _, default, _ in table_of(section(CONFIG, "system_params"), "key"):
        name = quoted(key)[0]
        if name == "h5output":
            assert resolved[name] == "g2calc_frames.h5"
        elif name == "block":
            assert resolved[name] == 4096  # what 0 stands for with a detector this small
        elif default != "required":
            assert resolved[name] == ast.literal_eval(quoted(default)[0])


def test_user_params(setup):
    rows = {
        quoted(key)[0]: quoted(default)[0] for key, _, default, _ in table_of(section(CONFIG, "user_params"), "key")
    }
    assert rows.keys() == set(userg2.PARAMS)
    documented = {key: ast.literal_eval(default) for key, default in rows.items()}
    setup.write(user=documented)
    assert setup.drive("-o", "documented.h5").returncode == 0
    setup.write(user={})
    assert setup.drive("-o", "none.h5").returncode == 0
    assert compare(setup.folder / "documented.h5", setup.folder / "none.h5", rtol=0) == []
    # with a file of fine colours the default of `normalization` is another
    for user, normalization in (({}, "color"), ({"finecolor": "fine.npy"}, "finecolor")):
        setup.write(user=user)
        assert setup.drive("-o", f"{normalization}.h5").returncode == 0
        with h5py.File(setup.folder / f"{normalization}.h5") as file:
            groups = list(file["user"].values())
            assert {group.attrs["normalization"] for group in groups} == {normalization}
            assert ["G2" in group for group in groups] == [group is groups[-1] for group in groups]  # save_arrays


def test_params_of_photon_statistics():
    rows = {
        quoted(row[0])[0]: row[2].strip("`")
        for row in table_of(section(CONFIG, "user_params"), "key of PhotonStatistics")
    }
    about = parameters.about_of({})
    assert rows.keys() | {"color", "color_table", "saturated_value", "picture", "plot_colors"} == set(parameters.PARAMS)
    assert rows.pop("threshold") == "photon`/2" and about.threshold == about.photon / 2
    assert {key: ast.literal_eval(default) for key, default in rows.items()} == {
        "photon": about.photon,
        "kmax": about.kmax,
        "exposures": list(about.exposures),
    }


def test_normalizations():
    table = section(CONFIG, "user_params").split("the delay curve of a colour is", 1)[1]
    documented = [ast.literal_eval(quoted(row[0])[0]) for row in table_of(table, "`normalization`")]
    assert documented == list(curves.NORMALIZATIONS)


def test_options_of_the_driver():
    documented = {option.split()[0] for row in table_of(CONFIG, "option") for option in quoted(row[0])}
    assert documented == {option for action in make_parser()._actions for option in action.option_strings}


# -- the other tables ----------------------------------------------------------


def test_options_of_the_comparison(tmp_path):
    said = run(["cmpParCorAnaH5Output", "--help"], tmp_path)
    documented = {quoted(row[0])[0].split()[0] for row in table_of(text_of("docs/results.md"), "option")}
    assert documented == set(re.findall(r"--\w+", said)) - {"--help"}


@pytest.mark.parametrize(
    ("tool", "sub", "document", "heading"),
    [
        (maskcolor.make_parser, "start", "masks.md", "option of start"),
        (plot.make_parser, None, "results.md", "option of parCorAnaPlot"),
        (merge.make_parser, None, "results.md", "option of parCorAnaMerge"),
        (export.make_parser, None, "results.md", "option of parCorAnaExport"),
        (watch.make_parser, None, "watch.md", "option of parCorAnaWatch"),
    ],
)
def test_options_of_the_tools(tool, sub, document, heading):
    parser = tool()
    if sub:
        (commands,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = commands.choices[sub]
    rows = table_of(text_of(f"docs/{document}"), heading)
    documented = {option.split()[0] for row in rows for option in quoted(row[0])}
    options = {option for action in parser._actions for option in action.option_strings}
    assert documented | {"-h", "--help"} == options


def test_options_of_the_simulator():
    rows = {quoted(name)[0]: quoted(default)[0] for name, default, _ in table_of(text_of("docs/data.md"), "option")}
    assert rows.keys() == brownian._OPTIONS.keys()
    assert simulated.Brownian.of(rows) == simulated.Brownian()


def test_callbacks():
    own = [name for name in vars(parcorana.UserBase) if callable(getattr(parcorana.UserBase, name)) and name[0] != "_"]
    rows = table_of(text_of("docs/user-code.md"), "callback")
    documented = dict(re.fullmatch(r"`(\w+)\((.*)\)`", row[0]).groups() for row in rows)
    assert set(documented) == set(own)
    for name, arguments in documented.items():
        code = getattr(parcorana.UserBase, name).__code__
        assert arguments.split(", ") == [*code.co_varnames[1 : code.co_argcount]] or not arguments


def test_blocks_page():
    """The page names everything that a class on blocks may have."""
    text = text_of("docs/blocks.md")
    names = [name for name in vars(parcorana.BlockBase) if not name.startswith("_")]
    assert len(names) > 20
    assert not [name for name in names if f"`{name}" not in text]


@pytest.mark.parametrize("headings", [["path"], ["path", "path with many colours"]])
def test_result_file(setup, headings):
    """docs/results.md: everything in a result file is in the tables, and the other way round."""
    with h5py.File(setup.folder / "frames.h5", "r+") as file:
        file["det/timestamp"] = file["det/counter"][:] * 10**9 // 120
        del file["det/counter"]
        file["entry/instrument/detector/frame_time"] = 1 / 120
    if len(headings) > 1:
        np.save(setup.folder / "color.npy", np.arange(setup.color.size).reshape(setup.color.shape) + 1)
    rows = "".join(f"{color},{0.01 * color}\n" for color in np.unique(np.load(setup.folder / "color.npy")) if color)
    (setup.folder / "color_colors.csv").write_text(f"color,q\n{rows}", encoding="utf-8")
    fit = {"kind": "single", "fixed": {"baseline": 1}, "bounds": {"tau": (1, 500)}, "start": {"contrast": 0.1}}
    fit |= {"delays": (1, 100)}
    user = setup.user | {"finecolor": "fine.npy", "fit": fit, "frame_norm": "color"}
    setup.write("G2IncrementalAccumulator", user=user, select={"mean": (0, None)}, photons={"photon": 1})
    assert setup.drive().returncode == 0
    found = []
    with h5py.File(setup.folder / "out.h5") as file:
        update = file["user"][max(file["user"])]
        curves = update["delay_curves" if len(headings) > 1 else "delay_curve_color_1"]
        assert {"normalization", "frame_norm", "q_unit"} <= curves.attrs.keys()

        def visit(name, node):
            found.extend(f"/{name}@{key}" for key in node.attrs if isinstance(node, h5py.Group))
            if isinstance(node, h5py.Dataset):
                found.append(f"/{name}")
                assert {"units", "long_name"} <= node.attrs.keys()

        file.visititems(visit)
    results = text_of("docs/results.md")
    documented = [quoted(row[0])[0] for heading in headings for row in table_of(results, heading)]
    patterns = [re.escape(path).replace(r"\*", r"\w+") for path in documented]
    for path in found:
        assert any(re.fullmatch(pattern, path) for pattern in patterns), f"{path} is not in the table"
    for pattern in patterns:  # colours as small as these have no pixel groups: tests/curves/test_many_colors.py
        if not re.search("error_groups|deviations|delay_curve_cov", pattern):
            assert any(re.fullmatch(pattern, path) for path in found), f"{pattern} is not in the file"
