"""The shape checks that tests put on our packages: jaxtyping, in the modules that write array shapes.

Its wrapper costs .1 ms a call and goes around every function of a module, so modules without shapes are left
to pyright. An int is accepted where a float is asked for: PEP 484 says so too, plain beartype does not.
"""

from importlib import import_module
from pathlib import Path

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[2]
PACKAGES = "sophistry tasks activations probes organisms backdoor rlhf study experiments".split()
OUTSIDE = "torch transformers scipy.stats sklearn.linear_model pandas".split()
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_shapes() -> None:
    """Check the shapes in all of our modules that are imported from now on.

    What others wrote is imported first: jaxtyping compiles anew all that is imported while it loads a module.
    """
    for name in OUTSIDE:
        import_module(name)
    install_import_hook(modules_with_shapes(), "typecheck.checked")


def modules_with_shapes() -> list[str]:
    """Names of our modules that import jaxtyping."""
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files
        if "\nfrom jaxtyping import" in path.read_text()
    ]
