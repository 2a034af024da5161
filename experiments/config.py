"""Presets and the command line, the same for every program in this folder.

A preset is one YAML file with a section for each program (`transfer:`, `train_backdoor:`,
`train_rlhf:`, `train_reward_model:`), so that one size of the whole study can be read on one page. A program
states what it can be told as a frozen dataclass; `parse_command_line` fills that dataclass from the preset's
section and from `--any.field value`. What ran is written back as `config.yaml`, which is itself a preset:
`--preset runs/transfer-mini/config.yaml` replays it.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

from sophistry.files import write_atomic
from sophistry.provenance import program_command, provenance
from sophistry.records import (
    ConfigError,
    build,
    describe_fields,
    field_type,
    flatten,
    read_word,
    read_yaml,
    to_plain,
    unknown,
)

C = TypeVar("C")

PRESETS = Path(__file__).resolve().parent / "presets"
PROGRAMS = (
    "transfer",
    "matrix",
    "train_backdoor",
    "train_rlhf",
    "train_reward_model",
    "ablation",
    "recipes",
)
DEFAULT_PRESET = "mini"


@dataclass(frozen=True, kw_only=True)
class Run(Generic[C]):
    """What one invocation of a program was asked to do."""

    program: str
    """Name of the program, one of `PROGRAMS`."""
    name: str
    """Name of the preset, or of the file it came from."""
    config: C
    """The preset with the changes of the command line."""
    out: Path
    """Folder that receives the results."""
    arguments: tuple[str, ...] = ()
    """The command line, as it was given."""

    @property
    def command(self) -> str:
        """What to type to run it again."""
        return " ".join([program_command(self.program), *map(shlex.quote, self.arguments)])


def parse_command_line(argv: Sequence[str], *, program: str, schema: type[C], about: str) -> Run[C]:
    """Read `[--preset NAME|FILE.yaml] [--out DIR] [--any.field value ...]`.

    `about` is shown by `--help`, which ends the program. Raises `ConfigError` for anything unknown.
    """
    words = pair_words(argv)
    preset = words.pop("preset", DEFAULT_PRESET)
    out = words.pop("out", None)
    if "help" in words:
        sys.stdout.write(help_text(program, schema, about, preset))
        raise SystemExit(0)
    name, config = load_preset(preset, program, schema, words)
    return Run(
        program=program,
        name=name,
        config=config,
        out=Path(out or f"runs/{program}-{name}").expanduser(),
        arguments=tuple(argv),
    )


def parse_fields(argv: Sequence[str], *, program: str, schema: type[C], about: str) -> C:
    """Read `[--any.field value ...]` of a program that no preset configures.

    `--help` ends the program. Raises `ConfigError` for anything unknown or missing.
    """
    words = pair_words(argv)
    if "help" in words:
        needed = {field.name for field in dataclasses.fields(schema) if _needed(field)}  # pyright: ignore[reportArgumentType]
        values = {name: value for name, value in flatten(schema).items() if name not in needed}
        lines = [f"{program_command(program)} --field value ...", "", about.strip(), "", "Fields"]
        sys.stdout.write("\n".join([*lines, *_field_lines(schema, values)]) + "\n")
        raise SystemExit(0)
    known = describe_fields(schema)
    for name in words:
        if name not in known:
            raise ConfigError(unknown("field", name, known))
    values: dict[str, Any] = {}
    for name, word in words.items():
        _set(values, name, read_word(word, field_type(schema, name)))
    return build(schema, values)


def load_preset(
    preset: str, program: str, schema: type[C], changes: Mapping[str, Any] | None = None
) -> tuple[str, C]:
    """Read the section of `program` from a preset (a name or a path), with `changes` by dotted name.

    Gives the preset's name and the filled `schema`. Raises `ConfigError` for a preset that does not exist or
    says nothing about this program, and for unknown fields and wrong types.
    """
    name, sections = _read_preset(preset)
    if program not in sections:
        here = ", ".join(section for section in sections if section in PROGRAMS) or "nothing"
        has = ", ".join(preset_names(program)) or "none"
        raise ConfigError(f"Preset {preset!r} configures {here}, not {program}. Presets that do: {has}.")
    section = sections[program] or {}
    if not isinstance(section, Mapping):
        raise ConfigError(f"Preset {preset!r}: {program} must hold fields and values, got {section!r}.")
    return name, overlay(schema, section, changes or {})


def overlay(schema: type[C], section: Mapping[str, Any], changes: Mapping[str, Any]) -> C:
    """Fill `schema` from a section of fields and values, with `changes` by dotted name on top.

    `--style WORD` stands for `--style.kind WORD`. Raises `ConfigError` as `load_preset` does.
    """
    values = _as_dict(section)
    known = describe_fields(schema)
    for given, value in changes.items():
        dotted = "style.kind" if given == "style" and "style.kind" in known else given
        parent = dotted.rsplit(".", 1)[0]  # a field that maps names to values takes --field.name value
        if dotted not in known and not known.get(parent, ("",))[0].startswith("names to"):
            raise ConfigError(unknown("field", dotted, known))
        _set(
            values, dotted, read_word(value, field_type(schema, dotted)) if isinstance(value, str) else value
        )
    return build(schema, values)


def preset_names(program: str | None = None) -> list[str]:
    """Name the presets that ship with the library (those that configure `program`, if given)."""
    names = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    order = {
        name: i
        for i, name in enumerate(("mini", "mini-code", "own", "quality", "apps", "paper-qa", "paper-code"))
    }
    names.sort(key=lambda name: order.get(name, len(order)))
    return [name for name in names if program is None or program in _read_preset(name)[1]]


def help_text(program: str, schema: type, about: str, preset: str = DEFAULT_PRESET) -> str:
    """Write the page that `--help` shows: what the program does, the presets, every field with its value."""
    shown, values = _values_for_help(preset, program, schema)
    lines = [f"{program_command(program)} [--preset NAME|FILE.yaml] [--out DIR] [--any.field value ...]"]
    lines += ["", about.strip(), "", "Presets"]
    for name in preset_names(program):
        lines += _paragraph(f"  {name:<12}", str(_read_preset(name)[1].get("about") or ""), indent=14)
    lines += ["", "--out DIR", f"      Where results go. Default: runs/{program}-PRESET."]
    lines += ["", f"Fields, with {shown}"]
    lines += _field_lines(schema, values)
    lines += ["", "Lists are written a,b,c. Every run writes config.yaml beside its results;"]
    lines += ["--preset takes that file and runs the same again."]
    return "\n".join(lines) + "\n"


def write_config(run: Run[Any], fingerprints: Mapping[str, str]) -> Path:
    """Write `config.yaml`: the preset as it ran, and where the numbers came from.

    `fingerprints` names what was read (models, transcripts) by content. Gives the file's path.
    """
    content = {
        "name": run.name,
        "about": f"What {run.program} ran, written by the run itself; --preset takes it and runs it again.",
        run.program: to_plain(run.config),
        "provenance": provenance() | {"fingerprints": dict(fingerprints)},
    }
    path = run.out / "config.yaml"
    write_atomic(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))
    return path


def _read_preset(preset: str) -> tuple[str, dict[str, Any]]:
    path = PRESETS / f"{preset}.yaml"
    if not path.is_file():
        path = Path(preset).expanduser()
    if not path.is_file():
        if path.suffix in (".yaml", ".yml"):
            raise ConfigError(f"Preset file {preset!r} does not exist.")
        shipped = [p.stem for p in PRESETS.glob("*.yaml")]
        raise ConfigError(unknown("preset", preset, sorted(shipped)) + " A path ending in .yaml also works.")
    try:
        sections = read_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"Preset file {path} is not YAML: {error}") from error
    if not isinstance(sections, dict):
        raise ConfigError(f"Preset file {path} must hold sections such as 'transfer:', got {sections!r}.")
    allowed = (*PROGRAMS, "name", "about", "provenance")
    for section in sections:
        if section not in allowed:
            raise ConfigError(f"Preset file {path}: " + unknown("section", str(section), allowed))
    return str(sections.get("name") or path.stem), sections


def pair_words(argv: Sequence[str]) -> dict[str, str]:
    """Read `--name value` and `--name=value` words into {name: value}; the same name twice is refused.

    >>> pair_words(["--seed", "1", "--style.names.clean=clean control"])
    {'seed': '1', 'style.names.clean': 'clean control'}
    """
    words: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word in ("-h", "--help"):
            words["help"] = ""
            continue
        if not word.startswith("--"):
            raise ConfigError(f"Unexpected {word!r}: write --field value (lists as a,b,c); see --help.")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(f"--{name} needs a value: --{name} VALUE. See --help.")
            value = rest.pop(0)
        if name in words:
            raise ConfigError(f"--{name} is given twice: {words[name]!r} and {value!r}.")
        words[name] = value
    return words


def _values_for_help(preset: str, program: str, schema: type) -> tuple[str, dict[str, Any]]:
    if preset in preset_names(program) or Path(preset).is_file():
        return f"the values of preset {preset!r}:", flatten(load_preset(preset, program, schema)[1])
    return "their defaults:", flatten(schema)


def _needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _field_lines(schema: type, values: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, (kind, doc) in describe_fields(schema).items():
        lines.append(f"--{name}" + (f" = {_show(values[name])}" if name in values else ""))
        lines += _paragraph("      ", f"({kind}) {doc}", indent=6)
    return lines


def _paragraph(first: str, text: str, indent: int) -> list[str]:
    rest = " " * indent
    return textwrap.wrap(" ".join(text.split()), 100, initial_indent=first, subsequent_indent=rest) or [first]


def _as_dict(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _as_dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _set(values: dict[str, Any], dotted: str, value: Any) -> None:
    *groups, last = dotted.split(".")
    for group in groups:
        values = values.setdefault(group, {})
    values[last] = value


def _show(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "(empty)"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value)
