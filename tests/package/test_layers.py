"""The arrows between the rooms of the package point one way; big libraries load only where needed."""

import ast
import graphlib
import json
import sys
from pathlib import Path

import pytest

import parcorana

PACKAGE = Path(parcorana.__file__).parent
KERNELS = {"_beat", "_core", "_move", "kernels"}  # compiled

# Of each room, that is a folder, those whose modules its own may import, beside its own and the floor.
ROOMS = {
    "floor": "",
    "files": "",
    "calculation": "",
    "correlation": "calculation",
    "detector": "files",
    "curves": "files",
    "events": "files correlation detector",
    "job": "files calculation correlation detector events",
    "results": "files calculation correlation detector curves",
    "view": "files curves results",
    "export": "files detector results",
    "watch": "calculation",
    "g2": "files calculation correlation detector curves results view",
    "multitau": "files calculation correlation curves g2",
    "photons": "files calculation correlation detector curves results view g2",
    "twotime": "files calculation correlation detector results view g2",
    "pipeline": "files calculation correlation detector curves events job results view",
    "plan": "files calculation curves events job results view pipeline",
    "page": "files detector curves events results view",
    "tools": "files calculation correlation detector curves events job results view export watch g2 multitau twotime "
    "pipeline plan page",
    "inprocess": "files calculation correlation detector curves events job results view export multitau photons "
    "twotime g2 pipeline tools",
    "faces": "files calculation correlation detector curves events job results view export watch g2 multitau twotime "
    "pipeline page tools inprocess",
}
# The modules beside the folders: what all may know, what users import, and what stands for a room.
BESIDE = {"errors": "floor", "forks": "floor", "_version": "floor", "reference": "floor", "userg2": "g2"}
ONLY_IN = {
    "mpi4py": {"pipeline.mpi", "__main__"},
    "psana": {"events.psana2", "events.psana1"},  # in the modules of these folders, too
    "requests": {"events.psana2"},  # psana brings it along
    "h5py": {
        *("results", "events.hdf5", "tools.compare", "curves.curvefile", "__main__"),
        *("files.plain", "files.datasets", "files.aside", "files.links"),
    },
    "hdf5plugin": {"events.hdf5"},
    "tqdm": {"view.progress"},
    "matplotlib": {"view.library", "inprocess.result"},
    "pandas": {"inprocess.result"},
    "scipy": {"curves.fits", "curves.noise"},
    "bokeh": {"page"},
    "tornado": {"page.server"},  # bokeh brings it along
}


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module):
    first = module.split(".")[0]
    return first if first in ROOMS else BESIDE.get(first, "faces")


def imported(module, tree=None):
    """Return (ours, others): what a module imports, inside functions, too."""
    ours, others = set(), set()
    for node in ast.walk(tree or ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports are not used here"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "parcorana":
                # the longest beginning that is a module: what follows it is a name in that
                parts = rest.split(".")
                known = [".".join(parts[:k]) for k in range(len(parts), 0, -1)]
                ours.add(next((n for n in known if n in MODULES or n in KERNELS), "__init__"))
            else:
                others.add(top)
    return ours, others


def test_the_walk_sees_imports():
    """What the other tests rely on, on a text that breaks the rules."""
    text = "import os\nfrom parcorana import _core, __version__\nfrom parcorana.tools import driver\n"
    text += "def f():\n    from mpi4py import MPI\n"
    text += "    import parcorana.events.protocol\n    from parcorana.pipeline.worker import Worker\n"
    ours, others = imported("masks", ast.parse(text))
    assert ours == {"_core", "tools.driver", "__init__", "events.protocol", "pipeline.worker"}
    assert others == {"os", "mpi4py"}
    rooms = {"tools.driver": "tools", "__init__": "faces", "fits": "faces", "userg2": "g2", "errors": "floor"}
    assert {module: room_of(module) for module in rooms} == rooms
    assert {module.split(".")[0] for module in MODULES if "." in module} <= set(ROOMS), (
        "a room that is not in the table"
    )
    assert set(BESIDE) <= set(MODULES)


def test_the_arrows_point_one_way():
    rooms = {room: names.split() for room, names in ROOMS.items()}
    assert set(graphlib.TopologicalSorter(rooms).static_order()) == set(ROOMS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_rooms(module):
    ours, others = imported(module)
    room = room_of(module)
    wrong = {name for name in ours - KERNELS if room_of(name) not in {room, "floor", *ROOMS[room].split()}}
    assert not wrong, f"{room} must not import these"
    if room == "pipeline":
        events = {name for name in ours if name.startswith("events")}
        known = {"events.protocol", "events.open", "events.segments", "events.values"}
        assert events <= known, "of the events, the pipeline may know the protocol only"
    third_party = others - set(sys.stdlib_module_names) - {"numpy"}
    assert third_party <= set(ONLY_IN), "not among the package's dependencies"
    places = {module, module.rpartition(".")[0]}
    assert not {name for name in third_party if not places & ONLY_IN[name]}, "only in the modules made for it"


def test_no_cycles():
    graph = {module: imported(module)[0] - KERNELS for module in MODULES}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(MODULES)


def test_no_file_is_long(root):
    """Whoever opens a file sees one subject."""
    files = [path for room in ("parcorana", "csrc", "pyx") for path in (root / room).rglob("*")]
    mine = {".py", ".pyi", ".pxd", ".pyx", ".pxi", ".c", ".h", ".in"}
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files if path.suffix in mine}
    made = {path.with_suffix(".c") for path in (root / "pyx").glob("*.pyx")}  # by Cython
    assert len(lines) > 200
    assert not {path.name: number for path, number in lines.items() if number > 400 and path not in made}


LOADED = """
import json, sys
{}
print(json.dumps(sorted(sys.modules)))
"""
RUN = "from parcorana.tools.driver import main; assert main(['-c', 'config.py']) == 0"


@pytest.mark.parametrize(
    ("code", "absent", "present"),
    [
        ("import parcorana", {"mpi4py", "psana", "matplotlib", "h5py", "tqdm"}, {"parcorana.job.config"}),
        (RUN, {"mpi4py.MPI", "mpi4py", "psana", "matplotlib", "tqdm"}, {"h5py", "parcorana.pipeline.worker"}),
    ],
)
def test_libraries_are_not_loaded_in_vain(setup, command, code, absent, present):
    setup.write(dataset="sim=brownian:shape=2x5x7:events=80:seed=1", src=None)
    run = command(sys.executable, "-c", LOADED.format(code), cwd=setup.folder)
    assert run.returncode == 0, run.stderr
    loaded = set(json.loads(run.stdout.splitlines()[-1]))
    assert not absent & loaded
    assert present <= loaded
