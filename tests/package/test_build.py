"""How the C files are compiled: what changed, and nothing else."""

import os
import shutil
import sys

import pytest

SETUP = """
from setuptools import Extension, setup
setup(ext_modules=[
    Extension("small", ["small.c", "shared.c"], include_dirs=["."]),
    Extension("other", ["other.c", "shared.c"], include_dirs=["."]),
])
"""
PYPROJECT = """
[project]
name = "small"
version = "1"
[tool.setuptools]
cmdclass = { build_ext = "incremental.BuildExt" }
"""
MODULE = """
#include <Python.h>
#include "{name}.h"
#include "shared.h"
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "{name}", NULL, -1, NULL}};
PyMODINIT_FUNC PyInit_{name}(void)
{{
    PyObject *m = PyModule_Create(&module);
    PyModule_AddIntConstant(m, "own", OWN);
    PyModule_AddIntConstant(m, "shared", shared());
    return m;
}}
"""
FILES = {
    "setup.py": SETUP,
    "pyproject.toml": PYPROJECT,
    "small.c": MODULE.format(name="small"),
    "other.c": MODULE.format(name="other"),
    "shared.c": '#include "shared.h"\nint shared(void) { return 3; }\n',
    "small.h": "#define OWN 1\n",
    "other.h": "#define OWN 2\n",
    "shared.h": "int shared(void);\n",
}


class Project:
    """Two compiled modules, one C file in both, each with a header of its own."""

    def __init__(self, folder, root, command):
        self.folder, self.command, self.modules = folder, command, set()
        shutil.copy(root / "incremental.py", folder)
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")

    def times(self):
        made = [*self.folder.glob("build/objects/*.o"), *self.folder.glob("*.so")]
        return {path.name.split(".")[0] + path.suffix: path.stat().st_mtime_ns for path in made}

    def change(self, name, old, new):
        path = self.folder / name
        before = path.read_text(encoding="utf-8")
        assert old in before
        path.write_text(before.replace(old, new), encoding="utf-8")

    def build(self, *options, status=0, **env):
        """Build in place; return (what was made, what the modules then say)."""
        before = self.times()
        words = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", *options]
        run = self.command(*words, cwd=self.folder, env=env)
        assert (run.returncode != 0) == bool(status), run.stderr
        made = {name for name, time in self.times().items() if before.get(name) != time}
        code = "import small, other; print(small.own, other.own, small.shared, other.shared)"
        said = self.command(sys.executable, "-c", code, cwd=self.folder).stdout.split()
        return made, [int(word) for word in said]


@pytest.fixture
def project(tmp_path, root, command):
    project = Project(tmp_path, root, command)
    made, said = project.build("-j2")
    assert made == {"small.o", "other.o", "shared.o", "small.so", "other.so"} and said == [1, 2, 3, 3]
    return project


def test_what_changed_is_compiled(project):
    assert project.build() == (set(), [1, 2, 3, 3])
    project.change("small.c", "OWN)", "OWN + 10)")
    assert project.build() == ({"small.o", "small.so"}, [11, 2, 3, 3])
    project.change("other.h", "2", "5")
    assert project.build() == ({"other.o", "other.so"}, [11, 5, 3, 3])
    project.change("shared.c", "3", "7")
    assert project.build() == ({"shared.o", "small.so", "other.so"}, [11, 5, 7, 7])
    os.utime(project.folder / "shared.h")
    assert project.build()[0] == {"small.o", "other.o", "shared.o", "small.so", "other.so"}


def test_other_flags_and_force_compile_all(project):
    everything = {"small.o", "other.o", "shared.o", "small.so", "other.so"}
    assert project.build(CFLAGS="-DUNUSED=1")[0] == everything
    assert project.build(CFLAGS="-DUNUSED=1")[0] == set()
    assert project.build("--force", CFLAGS="-DUNUSED=1")[0] == everything


def test_what_failed_is_compiled_again(project):
    project.change("small.c", "OWN)", "OWN))")
    project.change("shared.c", "3", "4")
    made, said = project.build(status=1)
    assert "small.so" not in made and said[0] == 1
    project.change("small.c", "OWN))", "OWN)")
    made, said = project.build()
    assert {"small.o", "small.so"} <= made and said == [1, 2, 4, 4]


CLASS = """
from setuptools.dist import Distribution
package = Distribution()
package.parse_config_files()
print(package.get_command_class("build_ext"))
"""


def test_the_package_is_built_so(root, command):
    assert "incremental.BuildExt" in command(sys.executable, "-c", CLASS, cwd=root).stdout
