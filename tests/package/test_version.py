"""One version, in parcorana/_version.py, and one list of requirements, in pyproject.toml: what repeats them agrees."""

import re
import tomllib

import pytest
import yaml

import parcorana

OTHER_NAMES = {"matplotlib": "matplotlib-base"}  # of conda-forge: without a toolkit of windows


def read(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture
def project(root):
    return tomllib.loads(read(root / "pyproject.toml"))


@pytest.fixture
def recipe(root):
    return yaml.safe_load(read(root / "packaging/conda/recipe.yaml"))


def test_what_is_built_takes_the_version_from_the_module(root, project):
    """The wheel, what it reports, results: test_package.py and others look at these. The site says it, too."""
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "parcorana._version.__version__"}
    assert "version = release = parcorana.__version__\n" in read(root / "docs/conf.py")


def test_citation(root):
    assert yaml.safe_load(read(root / "CITATION.cff"))["version"] == parcorana.__version__


def test_changelog(root):
    """Its first heading is that of the version, or of what will be it."""
    first, text = re.search(r"^## \[(.+?)\](.*?)(?=^## |\Z)", read(root / "CHANGELOG.md"), re.M | re.S).groups()
    assert first == parcorana.__version__ or (first == "Unreleased" and f" {parcorana.__version__}," in text)


def test_version_of_the_recipe(recipe):
    assert recipe["context"]["version"] == parcorana.__version__
    assert recipe["about"]["license"] == "BSD-3-Clause" and recipe["package"]["version"] == "${{ version }}"


def test_requirements_of_the_recipe(project, recipe):
    """As with pip, but for an MPI library: which one is the user's choice, there and here."""

    def requirements(lines):
        """Return {name: versions}."""
        return dict(re.fullmatch(r"([\w-]+) *(.*)", line).groups() for line in lines)

    needed = requirements(project["project"]["dependencies"])
    wanted = {OTHER_NAMES.get(name, name): versions for name, versions in needed.items()}
    assert requirements(recipe["requirements"]["run"]) == wanted | {"python": ""}
    host = requirements(recipe["requirements"]["host"])
    assert requirements(project["build-system"]["requires"]).items() <= host.items()
    oldest = project["project"]["requires-python"].removeprefix(">=")
    assert f'match(python, "<{oldest}")' in recipe["build"]["skip"]
    assert recipe["about"]["summary"] == project["project"]["description"]
