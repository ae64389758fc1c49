"""The documentation site: how-tos, executed notebooks, and a reference from the docstrings.

`make docs` builds it without a network. Notebooks come executed from outputs/smoke/notebooks where
`make report` has been run, without outputs otherwise.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXECUTED, COMMITTED = ROOT / "outputs" / "smoke" / "notebooks", ROOT / "notebooks"

with (ROOT / "pyproject.toml").open("rb") as metadata:
    release = tomllib.load(metadata)["project"]["version"]
project, author = "Second Look", "the Second Look contributors"

extensions = [
    "myst_nb",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Second Look"

# Notebooks are shown as they were run; nothing is run for the site.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header", "ref.python"]

apidoc_modules = [
    {
        "path": "../lib/second_look",
        "destination": "reference",
        "separate_modules": True,
        "module_first": True,
        "max_depth": 3,
    }
]
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_ivar = True
napoleon_use_rtype = False
# Types stand in signatures; in a list of attributes, the underscore of numpy.str_ would be a link.
napoleon_attr_annotations = False


def gather_notebooks(_: object) -> None:
    """Copy the notebooks into the source of the site."""
    target = ROOT / "docs" / "notebooks"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path in sorted(COMMITTED.glob("[0-9]*.ipynb")):
        executed = EXECUTED / path.name
        shutil.copy2(executed if executed.is_file() else path, target / path.name)


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", gather_notebooks)  # type: ignore[attr-defined]
