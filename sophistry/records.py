"""A frozen dataclass says what a program can be told; this file turns plain values into it.

`build` makes a typed dataclass from a nested mapping (a YAML preset, a result, a record of an organism), by
pydantic's strict validation of the plain dataclass; `read_word` gives a word of the command line its type;
`flatten` lists the fields under dotted names, `describe_fields` reads the line of documentation below each.
Nothing is guessed: an unknown field, a missing field or a value of another type is a `ConfigError`
that names the field, the value and what would be accepted.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import json
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import TypeAdapter, ValidationError

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


def build(schema: type[C], values: Any, where: str = "", *, source: str = "", advice: str = "") -> C:
    """Make a `schema` instance from nested plain values (of YAML, JSON), strictly: text is not a number.

    For messages: `where` is the dotted place of `values` in the whole, `source` the file, `advice` what to do
    about an unknown field. A group that is given in part keeps the outer default's other fields. Raises
    `ConfigError` naming the first field that is unknown, missing or of the wrong type; a `ValueError` of the
    dataclass's own `__post_init__` becomes a `ConfigError` with the place in front.

    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Bootstrap:
    ...     draws: int = 2000
    ...     level: float = 0.95
    >>> build(Bootstrap, {"draws": 500})
    Bootstrap(draws=500, level=0.95)
    >>> build(Bootstrap, {"draw": 500})
    Traceback (most recent call last):
    ...
    sophistry.records.ConfigError: There is no field 'draw'. Did you mean draws?
    >>> build(Bootstrap, {"draws": "500"})
    Traceback (most recent call last):
    ...
    sophistry.records.ConfigError: draws: expected whole number, got '500'.
    """
    before = f"{source}: " if source else ""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{before}{where or schema.__name__}: expected fields and values, got {values!r}.")
    try:
        text = json.dumps(_filled(schema, to_plain(values)))
    except TypeError as error:
        raise ConfigError(f"{before}{where or schema.__name__}: {error}; plain values are needed.") from error
    return build_json(schema, text, where, source=source, advice=advice)


def build_json(
    schema: type[C], text: str | bytes, where: str = "", *, source: str = "", advice: str = ""
) -> C:
    """Make a `schema` instance from JSON text, as `build` does from values that were read already.

    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Bootstrap:
    ...     draws: int = 2000
    >>> build_json(Bootstrap, '{"draws": 500}')
    Bootstrap(draws=500)
    """
    try:
        # JSON mode: lists become tuples and objects dataclasses, although everything else is strict
        return _adapter(schema).validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        message = _message(schema, error, where)
        if advice and message.startswith("There is no field"):
            message += f" {advice}"
        named = not source or message.startswith(source)
        raise ConfigError(message if named else f"{source}: {message}") from error


def read_word(word: str, hint: Any) -> Any:
    """Read a word of the command line as a value of the type `hint`; a word that does not fit is given back.

    >>> read_word("1, 2,3", tuple[int, ...]), read_word("1e-4", float), read_word("many", int)
    ([1, 2, 3], 0.0001, 'many')
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if word.lower() in ("none", "null"):
            return None
        read = (read_word(word, choice) for choice in arguments if choice is not type(None))
        return next((value for value in read if _fits(value, hint)), word)
    if origin is tuple:
        listed = read_yaml(word) if word.strip().startswith("[") else [v.strip() for v in word.split(",")]
        return [read_word(v, arguments[0]) if isinstance(v, str) else v for v in listed if v != ""]
    if choices(hint) or hint is str:
        return word
    value = read_yaml(word)
    return value if origin is dict or dataclasses.is_dataclass(hint) or _fits(value, hint) else word


def field_type(schema: type, dotted: str) -> Any:
    """Find the type of the field with a dotted name; None when there is none.

    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Style:
    ...     names: dict[str, str]
    >>> field_type(Style, "names.qa-clean"), field_type(Style, "colour")
    (<class 'str'>, None)
    """
    name, _, rest = dotted.partition(".")
    hint = _hints(schema).get(name)
    if not rest or hint is None:
        return hint
    if dataclasses.is_dataclass(hint):
        return field_type(typing.cast(type, hint), rest)
    return get_args(hint)[1] if get_origin(hint) is dict else None


def read_yaml(text: str) -> Any:
    """Read YAML in which 1e-4 is a number and 2024-01-01 is text (unlike YAML 1.1).

    >>> read_yaml("{rate: 1e-4, day: 2024-01-01}")
    {'rate': 0.0001, 'day': '2024-01-01'}
    """
    return yaml.load(text, _Loader)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader with the numbers of YAML 1.2, and without dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


@functools.cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint)


def _fits(value: Any, hint: Any) -> bool:
    try:
        _adapter(hint).validate_json(json.dumps(value), strict=True, extra="forbid")
    except ValidationError:
        return False
    return True


def _filled(schema: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Complete every group that is given in part from the outer default."""
    filled, hints = dict(values), _hints(schema)
    for field in dataclasses.fields(schema):  # pyright: ignore[reportArgumentType]
        value, default = filled.get(field.name), _default(field)
        if isinstance(value, Mapping) and dataclasses.is_dataclass(default):
            value = _overlay(to_plain(default), value)
        if isinstance(value, Mapping) and dataclasses.is_dataclass(hints[field.name]):
            filled[field.name] = _filled(typing.cast(type, hints[field.name]), value)
    return filled


def _message(schema: type, error: ValidationError, where: str) -> str:
    """Say what is wrong in a person's words: unknown fields first, they explain missing ones."""
    found = error.errors(include_url=False)
    for kind in ("unexpected_keyword_argument", "missing"):
        some = [one for one in found if one["type"] == kind]
        if some and kind == "missing":
            return "No value for " + ", ".join(_place(schema, one["loc"], where)[0] for one in some) + "."
        if some:
            (*groups, name) = some[0]["loc"]
            place, group = _place(schema, tuple(groups), where)
            known = _hints(group) if isinstance(group, type) and dataclasses.is_dataclass(group) else ()
            return unknown("field", join(place, str(name)), [join(place, other) for other in known])
    first = found[0]
    place, hint = _place(schema, first["loc"], where)
    if first["type"] == "value_error":
        message = str(first.get("ctx", {}).get("error", first["msg"]))
        return f"{place}: {message}" if place else message
    if first["type"] == "json_invalid":
        return f"{where}: {first['msg']}" if where else first["msg"]
    got = first["input"]
    if choices(hint) and isinstance(got, str):
        return f"{place}: " + unknown("choice", got, choices(hint))
    expected = "fields and values" if dataclasses.is_dataclass(hint) else type_name(hint)
    return f"{place or schema.__name__}: expected {expected}, got {got!r}."


def _place(schema: Any, loc: tuple[int | str, ...], where: str) -> tuple[str, Any]:
    """Give the dotted name of the field that pydantic's `loc` leads to, and the field's type."""
    hint, place = schema, where
    for step in loc:
        arguments = [a for a in get_args(hint) if a is not type(None)]
        if get_origin(hint) in (Union, types.UnionType):
            if len(arguments) > 1:  # the next step names one of the choices: speak of them all
                break
            (hint,) = arguments
        if dataclasses.is_dataclass(hint):
            hint = _hints(typing.cast(type, hint)).get(str(step))
        elif get_origin(hint) in (tuple, list):
            (hint, *_) = get_args(hint)
        elif get_origin(hint) is dict:
            hint = get_args(hint)[1]
        place = f"{place}[{step}]" if isinstance(step, int) else join(place, str(step))
    return place, hint


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


def describe_fields(schema: type, prefix: str = "") -> dict[str, tuple[str, str]]:
    """Give (type, documentation) of every field under its dotted name, read from the source of `schema`."""
    hints, docs = _hints(schema), _field_docs(schema)
    described: dict[str, tuple[str, str]] = {}
    for name, hint in hints.items():
        if dataclasses.is_dataclass(hint):
            described |= describe_fields(typing.cast(type, hint), join(prefix, name))
        else:
            described[join(prefix, name)] = (type_name(hint), docs.get(name, ""))
    return described


def to_plain(value: Any) -> Any:
    """Turn a dataclass into mappings, lists and scalars that YAML and JSON can hold."""
    if isinstance(value, Enum):
        return value.value
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
    if choices(hint):
        return " | ".join(choices(hint))
    if origin in (tuple, list):
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return f"names to {type_name(arguments[1])}"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def choices(hint: Any) -> list[str]:
    """List the words that a `Literal` or an enumeration allows; none for other types.

    >>> choices(Literal["hf", "transformer_lens"]), choices(int)
    (['hf', 'transformer_lens'], [])
    """
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [str(choice.value) for choice in hint]
    return []


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
