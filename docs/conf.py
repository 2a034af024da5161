"""The documentation site: `make docs` builds it into build/docs, with every warning an error."""

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE / "_extensions")]
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), os.environ.get("PYTHONPATH", "")]
)  # notebooks' kernels
os.environ["PLOTLY_RENDERER"] = "svg"  # a page shows figures without a script or a network
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
if found := shutil.which("chromium") or shutil.which("google-chrome"):
    os.environ.setdefault("BROWSER_PATH", found)

project = "sophistry-probes"
author = "the authors of sophistry-probes"
copyright = "the authors of sophistry-probes, MIT licence"  # noqa: A001  Sphinx's own name for it

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "docstrings",
    "gallery",
    "repository",
]
exclude_patterns = ["_extensions", "_static", "cluster"]

# Markdown. Headings have GitHub's anchors, so that a link works on both sites.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

# Notebooks are executed again only when they change; one that fails ends the build.
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "notebooks")
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_output_stderr = "remove"  # what libraries say about missing widgets, with paths of this machine

# Annotations name things of other libraries, whose pages cannot be read here (no network).
nitpick_ignore_regex = [(r"py:.*", r".*")]
# An annotation `bytes` is the type, not a field of that name in some record.
suppress_warnings = ["ref.python"]

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_rtype = False
add_module_names = False

html_theme = "furo"
html_title = "sophistry-probes"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_drawn/interactive"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6e99", "color-brand-content": "#0b6e99"},
    "dark_css_variables": {"color-brand-primary": "#6cc4ee", "color-brand-content": "#6cc4ee"},
    "navigation_with_keys": True,
}
html_show_sphinx = False
html_copy_source = False
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
