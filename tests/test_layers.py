"""The arrows between the layers of docs and architecture point one way; big libraries load only where needed."""

import ast
import graphlib
import json
import sys
from pathlib import Path

import pytest

import parcorana

PACKAGE = Path(parcorana.__file__).parent
KERNELS = {"_beat", "_core", "_move", "kernels"}  # compiled

# Modules, without 'parcorana.', by layer; a folder stands for all in it. Those not here are tools,
# which may import all the others: the driver and the other commands.
LAYERS = {
    "core": "_version errors datasets delays partition masks ratecheck psana_config rolling lines cpu lock"
    " userbase userstate partfile curves plaing2 timeline images geometry statistics colors reference memory paths"
    " trial sums userclass limits reach bias rounding hot",
    "events": "events",
    "config": "config",
    "output": "output checkpoint progress results fits curvefile pictures plain",
    "classes": "userg2",
    "pipeline": "pipeline",
}
MAY_IMPORT = {
    "core": {"core"},
    "events": {"core", "events"},
    "config": {"core", "events"},
    "output": {"core", "output"},
    "classes": {"core", "output"},
    "pipeline": {"core", "events", "config", "output", "pipeline"},
    "tools": {"core", "events", "config", "output", "classes", "pipeline", "tools"},
}
ONLY_IN = {
    "mpi4py": {"pipeline.mpi", "__main__"},
    "psana": {"events.psana2", "events.psana1"},  # in the modules of these folders, too
    "requests": {"events.psana2"},  # psana brings it along
    "h5py": {"output", "compare", "curvefile", "plain", "__main__"}
    | {f"events.hdf5_{name}" for name in ("files", "plain", "series", "slab", "stack", "times", "trust", "virtual")},
    "hdf5plugin": {"events.hdf5_plain"},
    "tqdm": {"progress"},
    "matplotlib": {"pictures"},
    "scipy": {"fits"},
}


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def layer_of(module):
    layers = {name: layer for layer, names in LAYERS.items() for name in names.split()}
    return layers.get(module) or layers.get(module.split(".")[0], "tools")


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
    text = "import os\nfrom parcorana import _core, driver, __version__\ndef f():\n    from mpi4py import MPI\n"
    text += "    import parcorana.events.source\n    from parcorana.pipeline.worker import Worker\n"
    ours, others = imported("masks", ast.parse(text))
    assert ours == {"_core", "driver", "__init__", "events.source", "pipeline.worker"}
    assert others == {"os", "mpi4py"}
    assert {layer_of(m) for m in ("driver", "__init__", "pipeline.mpi", "rolling")} == {"tools", "pipeline", "core"}
    assert all(name in MODULES for names in LAYERS.values() for name in names.split())


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_layers(module):
    ours, others = imported(module)
    wrong = {name for name in ours - KERNELS if layer_of(name) not in MAY_IMPORT[layer_of(module)]}
    assert not wrong, f"{layer_of(module)} must not import these"
    if layer_of(module) == "pipeline":
        events = {name for name in ours if name.startswith("events")}
        assert events <= {"events.source"}, "of the events, the pipeline may know the protocol only"
    third_party = others - set(sys.stdlib_module_names) - {"numpy"}
    assert third_party <= set(ONLY_IN), "not among the package's dependencies"
    places = {module, module.rpartition(".")[0]}
    assert not {name for name in third_party if not places & ONLY_IN[name]}, "only in the modules made for it"
    if layer_of(module) == "core":
        assert not third_party


def test_no_cycles():
    graph = {module: imported(module)[0] - KERNELS for module in MODULES}
    # the one exception: `open_source` chooses among the backends, which import the protocol beside it
    graph["events.source"] = {name for name in graph["events.source"] if not name.startswith("events.")}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(MODULES)


LOADED = """
import json, sys
{}
print(json.dumps(sorted(sys.modules)))
"""
RUN = "from parcorana.driver import main; assert main(['-c', 'config.py']) == 0"


@pytest.mark.parametrize(
    ("code", "absent", "present"),
    [
        ("import parcorana", {"mpi4py", "psana", "matplotlib", "h5py", "tqdm"}, {"parcorana.config"}),
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
