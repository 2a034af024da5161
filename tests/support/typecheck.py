"""The shape checks that tests put on our packages: jaxtyping, on the functions that write array shapes.

Its wrapper costs .1 ms a call, and its hook puts one around every function of a module: those without shapes
are left to pyright. An int is accepted where a float is asked for: PEP 484 says so too, plain beartype does
not.
"""

import re
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook
from jaxtyping._import_hook import _JaxtypingLoader

ROOT = Path(__file__).parents[2]
PACKAGES = "sophistry tasks activations probes organisms backdoor rlhf study experiments".split()
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_shapes() -> None:
    """Check the shapes in all of our modules that are imported from now on."""
    # jaxtyping keeps compiled code apart, also that of whatever a checked module imports: without this all of
    # PyTorch, transformers and scikit-learn is compiled anew.
    _JaxtypingLoader.exec_module = SourceFileLoader.exec_module
    _JaxtypingLoader.get_code = _compiled
    jaxtyping.jaxtyped = _where_shapes_are_written(jaxtyping.jaxtyped)
    install_import_hook(modules_with_shapes(), "typecheck.checked")


def modules_with_shapes() -> list[str]:
    """Names of our modules that import jaxtyping."""
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files
        if "\nfrom jaxtyping import" in path.read_text()
    ]


def _where_shapes_are_written(jaxtyped: Callable[..., Any]) -> Callable[..., Any]:
    """The hook's decorator, which leaves functions without a shape as they are."""

    def decorator(*, typechecker: Any) -> Callable[[Any], Any]:
        wrap = jaxtyped(typechecker=typechecker)
        return lambda made: made if isinstance(made, FunctionType) and not writes_shapes(made) else wrap(made)

    return decorator


def writes_shapes(function: FunctionType) -> bool:
    """Whether an annotation names a type of jaxtyping, or an alias of one."""
    for annotation in function.__annotations__.values():
        words = re.findall(r"\w+", annotation) if isinstance(annotation, str) else []
        for found in (annotation, *map(function.__globals__.get, words)):
            if "jaxtyping" in f"{getattr(found, '__module__', '')} {found!r}":
                return True
    return False


def _compiled(loader: _JaxtypingLoader, name: str) -> CodeType:
    return loader.source_to_code(loader.get_data(loader.path), loader.path)
