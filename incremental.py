"""How setup.py compiles: only the C files that changed, or include a header that changed, several at once.

setuptools itself compiles all files of a module again when one of them, or any header, is newer than the module.
pyproject.toml names the class below as its `build_ext`.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools.command.build_ext import build_ext


def is_newer(file, others):
    """Return whether a file is there, and newer than all the others."""
    try:
        made = os.stat(file).st_mtime_ns
        return all(os.stat(other).st_mtime_ns < made for other in others)
    except OSError:
        return False


def is_made(object_file, command):
    """Return whether an object file was made by this command from what its source and headers are now."""
    try:
        made_by = object_file.with_suffix(".command").read_text(encoding="utf-8")
        used = object_file.with_suffix(".d").read_text(encoding="utf-8")  # by -MMD: "a.o: a.c \ a.h ..."
    except OSError:
        return False
    return made_by == command and is_newer(object_file, used.replace("\\\n", " ").split()[1:])


class BuildExt(build_ext):
    """`build_ext` that keeps object files. ``-j`` is the number of files, not of modules, at a time."""

    def finalize_options(self):
        """Choose where object files are kept."""
        super().finalize_options()
        if self.inplace or self.editable_mode:  # for these pip gives a folder that it removes
            self.build_temp = str(Path("build", "objects").absolute())

    def build_extensions(self):
        """Put `compile` and `link` in the places of the compiler's own."""
        self.jobs = self.parallel if type(self.parallel) is int else os.cpu_count()
        self.parallel = None
        self.link_all = self.compiler.link_shared_object
        self.compiler.compile, self.compiler.link_shared_object = self.compile, self.link
        super().build_extensions()

    def build_extension(self, ext):
        """Look at every file of a module, whatever the module's own age."""
        self.all_again, self.force = self.force, True
        super().build_extension(ext)
        self.force = self.all_again

    def compile(self, sources, output_dir, macros, include_dirs, debug, extra_postargs, depends):
        """Do what the compiler's own `compile` does, for files that are not made yet."""
        compiler = self.compiler
        _, objects, last, options, build = compiler._setup_compile(
            output_dir, macros, include_dirs, sources, depends, extra_postargs
        )
        first = compiler._get_cc_args(options, debug, None)

        def compile_one(name):
            source, suffix = build[name]
            command = repr((compiler.compiler_so, first, last, options, source))
            if self.all_again or not is_made(Path(name), command):
                Path(name).with_suffix(".command").unlink(missing_ok=True)  # what is cut short is not made
                compiler._compile(name, source, suffix, first, [*last, "-MMD"], options)
                Path(name).with_suffix(".command").write_text(command, encoding="utf-8")

        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(compile_one, objects))
        return objects

    def link(self, objects, output, **options):
        """Link a module, unless it is newer than all that it is made of."""
        if self.all_again or not is_newer(output, objects):
            self.link_all(objects, output, **options)
