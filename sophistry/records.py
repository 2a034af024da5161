"""A frozen dataclass says what a program can be told; this file turns plain values into it.

`build` makes a typed dataclass from a nested mapping (a YAML preset, command-line words), `flatten`
lists its fields under dotted names, `describe` reads the line of documentation below each field.
Nothing is guessed: an unknown field, a missing field or a value of another type is a `ConfigError`
that names the field, the value and what would be accepted.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import inspect
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

C = TypeVar("C")
FORMER = {
    "course": "dataset",
    "examined": "evaluated",
    "examined_nearly": "evaluated_nearly",
    "examined_levels": "evaluated_levels",
    "examined_seed": "evaluated_seed",
    "exam": "evaluation",
    "twins": "paired",
    "lead_in": "warm_up",
    "slips": "bugs",
}
"""What fields were called in version 0.1: a preset that still says so is told the name of today."""


class ConfigError(ValueError):
    """Something the person running a program asked for cannot be done as asked."""


def build(schema: type[C], values: Any, where: str = "") -> C:
    """Make a `schema` instance from nested plain values.

    `where` is the dotted place of `values` in the whole preset, for messages. Raises `ConfigError` for
    unknown and missing fields and for values of the wrong type; a `ValueError` of the dataclass's own
    `__post_init__` becomes a `ConfigError` with the place in front.

    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Bootstrap:
    ...     draws: int = 2000
    ...     level: float = 0.95
    >>> build(Bootstrap, {"draws": "500"})
    Bootstrap(draws=500, level=0.95)
    >>> build(Bootstrap, {"draw": 500})
    Traceback (most recent call last):
    ...
    sophistry.records.ConfigError: There is no field 'draw'. Did you mean draws?
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where or schema.__name__}: expected fields and values, got {values!r}.")
    hints = _hints(schema)
    defaults = {f.name: _default(f) for f in dataclasses.fields(schema)}  # pyright: ignore[reportArgumentType]
    arguments = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(unknown("field", join(where, key), [join(where, name) for name in hints]))
        default = defaults.get(key)
        if dataclasses.is_dataclass(default) and isinstance(value, Mapping):
            value = _overlay(to_plain(default), value)  # what is not said stays as the outer default has it
        arguments[key] = coerce(value, hints[key], join(where, key))
    missing = [f.name for f in dataclasses.fields(schema) if _required(f) and f.name not in arguments]  # pyright: ignore[reportArgumentType]
    if missing:
        raise ConfigError("No value for " + ", ".join(join(where, name) for name in missing) + ".")
    try:
        return schema(**arguments)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{where}: {error}" if where else str(error)) from error


def coerce(value: Any, hint: Any, where: str) -> Any:
    """Give `value` the type `hint`; words from a command line are read as that type.

    >>> coerce("1, 2,3", tuple[int, ...], "layers"), coerce("1e-4", float, "rate")
    ((1, 2, 3), 0.0001)
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _coerce_union(value, arguments, where)
    if origin is Literal:
        if value in arguments:
            return value
        raise ConfigError(f"{where}: " + unknown("choice", str(value), [str(choice) for choice in arguments]))
    if origin is tuple:
        return tuple(coerce(item, arguments[0], where) for item in _items(value, where))
    if origin is dict:
        mapping = yaml.safe_load(value) if isinstance(value, str) else value
        if not isinstance(mapping, Mapping):
            raise ConfigError(f"{where}: expected names and values, got {value!r}.")
        return {str(key): coerce(item, arguments[1], join(where, str(key))) for key, item in mapping.items()}
    if dataclasses.is_dataclass(hint):
        return (
            value
            if isinstance(value, typing.cast(type, hint))
            else build(typing.cast(type, hint), value, where)
        )
    return _coerce_plain(value, hint, where)


def _coerce_union(value: Any, choices: tuple[Any, ...], where: str) -> Any:
    if value is None or (isinstance(value, str) and value.lower() in ("none", "null")):
        if type(None) in choices:
            return None
        raise ConfigError(f"{where}: a value is needed, got {value!r}.")
    failures = []
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return coerce(value, choice, where)
        except ConfigError as error:
            failures.append(str(error))
    raise ConfigError(failures[-1])


def _coerce_plain(value: Any, hint: type, where: str) -> Any:
    read = value
    if isinstance(value, str) and hint is not str:
        read = yaml.safe_load(value)
        if hint is float and isinstance(read, str):  # YAML 1.1 takes 1e-4 for a word
            with contextlib.suppress(ValueError):
                read = float(read)
    if hint is float and isinstance(read, int) and not isinstance(read, bool):
        read = float(read)
    if (isinstance(read, bool) and hint is not bool) or not isinstance(read, hint):
        raise ConfigError(f"{where}: expected {type_name(hint)}, got {value!r}.")
    return read


def _items(value: Any, where: str) -> Iterable[Any]:
    if isinstance(value, str):
        listed = (
            yaml.safe_load(value) if value.strip().startswith("[") else [v.strip() for v in value.split(",")]
        )
        return [item for item in listed if item != ""]
    if isinstance(value, (list, tuple)):
        return value
    raise ConfigError(f"{where}: expected a list, got {value!r}.")


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """List the fields of a dataclass (or of its type) under dotted names, with their values (or defaults).

    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Inner:
    ...     draws: int = 2000
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Outer:
    ...     seed: int = 0
    ...     bootstrap: Inner = Inner()
    >>> flatten(Outer())
    {'seed': 0, 'bootstrap.draws': 2000}
    """
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = _default(field) if isinstance(config, type) else getattr(config, field.name)
        name = join(prefix, field.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, name)
        else:
            flat[name] = value
    return flat


def describe(schema: type, prefix: str = "") -> dict[str, tuple[str, str]]:
    """Give (type, documentation) of every field under its dotted name, read from the source of `schema`."""
    hints, docs = _hints(schema), _field_docs(schema)
    described: dict[str, tuple[str, str]] = {}
    for name, hint in hints.items():
        if dataclasses.is_dataclass(hint):
            described |= describe(typing.cast(type, hint), join(prefix, name))
        else:
            described[join(prefix, name)] = (type_name(hint), docs.get(name, ""))
    return described


def to_plain(value: Any) -> Any:
    """Turn a dataclass into mappings, lists and scalars that YAML and JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that `name` does not exist, and name the nearest that do (or all of them when none is near).

    >>> unknown("field", "course.examined", ["dataset.taught", "dataset.evaluated"])
    "There is no field 'course.examined'. Did you mean dataset.evaluated?"
    """
    known = list(known)
    now = ".".join(FORMER.get(part, part) for part in name.split("."))
    near = [now] if now in known else difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if not near:  # a field asked for without the group it belongs to, or the other way round
        near = [k for k in known if name.split(".")[-1] == k.split(".")[-1]]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known)}."
    return f"There is no {kind} {name!r}. {hint}"


def type_name(hint: Any) -> str:
    """Name a type as a person would: `number`, `list of text`, `hf | transformer_lens`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if a is type(None) else type_name(a) for a in arguments)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin is tuple:
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return f"names to {type_name(arguments[1])}"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def join(prefix: str, name: str) -> str:
    """Join two parts of a dotted name."""
    return f"{prefix}.{name}" if prefix else str(name)


def _hints(schema: type) -> dict[str, Any]:
    hints = typing.get_type_hints(schema)
    return {field.name: hints[field.name] for field in dataclasses.fields(schema)}


def _overlay(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _overlay(merged[key], value) if both else value
    return merged


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _field_docs(schema: type) -> dict[str, str]:
    """Read what stands below each field as a string, or behind it as a comment."""
    source = textwrap.dedent(inspect.getsource(schema))
    body, lines = ast.parse(source).body[0], source.splitlines()
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for field, below in zip(body.body, [*body.body[1:], None], strict=True):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        comment = lines[(field.end_lineno or field.lineno) - 1].partition("  # ")[2]
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            docs[field.target.id] = inspect.cleandoc(str(below.value.value))
        elif comment:
            docs[field.target.id] = comment.strip()
    return docs
