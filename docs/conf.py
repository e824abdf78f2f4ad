"""The docs site, by Sphinx: `make docs`. Its sources are the pages as GitHub shows them, README.md among them."""

import parcorana

project = "ParCorAna"
author = "the ParCorAna developers"
version = release = parcorana.__version__

# the folder of sources is that of README.md: links between pages are those that lead from file to file
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "docs/*.ipynb"]
exclude_patterns = [".*", "build", "bench", "csrc", "demo", "dist", "examples", "parcorana", "pyx", "tests"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
nb_execution_mode = "off"  # tests/docs/test_docs.py runs the notebook, and the blocks of all pages
myst_heading_anchors = 4

napoleon_google_docstring = False
napoleon_use_ivar = True  # or a word like `pulses` in a type would become a link to some attribute of that name
autosummary_generate = False  # a table of links into the page
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more: shapes and units
default_role = "code"

html_theme = "furo"
html_title = f"ParCorAna {version}"
html_extra_path = ["site"]
html_copy_source = False
html_show_copyright = False  # LICENSE says it
