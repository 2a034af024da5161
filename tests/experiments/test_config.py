"""Presets and the command line: typed, replayable, and strict about what they do not know."""

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Literal, get_type_hints

import pytest
import yaml

from experiments import config as config_module
from experiments.config import Run, help_text, load_preset, parse_command_line, preset_names, write_config
from sophistry.files import find_path, write_atomic
from sophistry.records import ConfigError, build, describe_fields, flatten, to_plain


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    draws: int = 2000
    """Resamples of the groups."""
    level: float = 0.95  # Coverage of the intervals.


@dataclass(frozen=True, kw_only=True)
class Settings:
    source: str
    """Folder of the source organism."""
    targets: tuple[str, ...] = ()
    """Folders of the targets."""
    layers: tuple[int, ...] | Literal["all"] = "all"
    """Layers to read."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Precision of the weights."""
    share: bool = True
    """Whether prefixes are shared."""
    cap: int | None = None
    """Rows per organism."""
    names: dict[str, str] = field(default_factory=dict)
    """Shown instead of folder names."""
    bootstrap: Bootstrap = Bootstrap()


@pytest.fixture
def presets(tmp_path, monkeypatch):
    (tmp_path / "mini.yaml").write_text(
        "about: Minutes on a laptop.\ntransfer:\n  source: organisms/backdoor\n  bootstrap:\n    draws: 100\n"
    )
    (tmp_path / "rlhf-only.yaml").write_text("train_rlhf:\n  seed: 1\n")
    monkeypatch.setattr(config_module, "PRESETS", tmp_path)
    return tmp_path


def parse(*argv: str) -> Run[Settings]:
    return parse_command_line(argv, program="transfer", schema=Settings, about="What it does.")


def test_preset_fills_the_dataclass_and_the_rest_are_defaults(presets):
    run = parse()
    assert (run.name, run.config.source, run.config.bootstrap.draws) == ("mini", "organisms/backdoor", 100)
    assert run.config.bootstrap.level == 0.95
    assert run.out == Path("runs/transfer-mini")


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--layers", "3,5"], "layers", (3, 5)),
        (["--layers=[3, 5]"], "layers", (3, 5)),
        (["--layers", "all"], "layers", "all"),
        (["--targets", "a, b"], "targets", ("a", "b")),
        (["--targets", ""], "targets", ()),
        (["--dtype", "float32"], "dtype", "float32"),
        (["--share", "false"], "share", False),
        (["--cap", "300"], "cap", 300),
        (["--cap", "none"], "cap", None),
        (["--names.clean", "Clean control"], "names", {"clean": "Clean control"}),
        (["--bootstrap.level", "9e-1"], "bootstrap.level", 0.9),
        (["--source", "12"], "source", "12"),
    ],
)
def test_command_line_values_take_the_type_of_their_field(presets, words, name, value):
    assert flatten(parse(*words).config)[name] == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "minni"], r"no preset 'minni'. Did you mean mini\?"),
        (["--preset", "mine.yaml"], r"'mine.yaml' does not exist"),
        (["--preset", "rlhf-only"], r"configures train_rlhf, not transfer. Presets that do: mini"),
        (["--bootstrap.drwas", "5"], r"no field 'bootstrap.drwas'. Did you mean bootstrap.draws"),
        (["--draws", "5"], r"no field 'draws'. Did you mean bootstrap.draws\?"),
        (["--zzz", "5"], r"no field 'zzz'. There are: source, targets"),
        (["--cap", "many"], r"cap: expected whole number or none, got 'many'"),
        (["--cap", "true"], r"cap: expected whole number or none, got 'true'"),
        (["--cap", "1.5"], r"cap: expected whole number"),
        (["--share", "1"], r"share: expected true or false, got '1'"),
        (["--dtype", "float16"], r"dtype: There is no choice 'float16'. Did you mean bfloat16"),
        (["--cap"], r"--cap needs a value"),
        (["--cap", "--share"], r"--cap needs a value"),
        (["--cap", "1", "--cap", "2"], r"--cap is given twice"),
        (["cap=1"], r"Unexpected 'cap=1'"),
    ],
)
def test_what_cannot_be_done_as_asked_is_refused_with_the_next_step(presets, words, message):
    with pytest.raises(ConfigError, match=message):
        parse(*words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("transfer:\n  source: a\n  sorce: b\n", "no field 'sorce'. Did you mean source"),
        (
            "transfer:\n  source: a\n  bootstrap: {draw: 3}\n",
            "no field 'bootstrap.draw'. Did you mean bootstrap.draws",
        ),
        ("transfer:\n  source: a\n  bootstrap: 3\n", "bootstrap: expected fields and values, got 3"),
        ("transfer:\n  layers: all\n", "No value for source"),
        ("transfers:\n  source: a\n", "no section 'transfers'. Did you mean transfer"),
        ("just words", "must hold sections"),
        ("transfer: [1", "is not YAML"),
    ],
)
def test_a_wrong_preset_file_is_refused_with_the_place(presets, tmp_path, text, message):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        parse("--preset", str(path))


def test_a_group_given_in_part_keeps_the_outer_defaults():
    @dataclass(frozen=True, kw_only=True)
    class Outer:
        bootstrap: Bootstrap = Bootstrap(draws=7)

    assert build(Outer, {"bootstrap": {"level": 0.8}}).bootstrap == Bootstrap(draws=7, level=0.8)


def test_errors_of_the_dataclass_itself_name_their_place():
    @dataclass(frozen=True, kw_only=True)
    class Positive:
        n: int

        def __post_init__(self):
            if self.n < 1:
                raise ValueError(f"n must be positive, got {self.n}")

    with pytest.raises(ConfigError, match="bootstrap: n must be positive, got 0"):
        build(Positive, {"n": 0}, "bootstrap")


def test_written_config_replays_to_the_same_settings(presets, tmp_path):
    run = parse(
        "--layers", "1,2", "--bootstrap.level", "0.9", "--names.a", "A", "--out", str(tmp_path / "run")
    )
    path = write_config(run, {"smollm2": "abc"})
    again = parse("--preset", str(path))
    assert again.config == run.config
    assert again.name == "mini"
    written = yaml.safe_load(path.read_text())
    assert written["provenance"]["fingerprints"] == {"smollm2": "abc"}
    assert written["provenance"]["versions"]["torch"]
    assert [p.name for p in path.parent.iterdir()] == ["config.yaml"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomic(path, "old")

    def disk_full(self, content):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_help_shows_every_field_with_its_value_and_meaning(presets):
    page = help_text("transfer", Settings, "What it does.")
    for name, (_, doc) in describe_fields(Settings).items():
        assert f"--{name}" in page
        assert doc in page
    assert "--bootstrap.draws = 100" in page
    assert "Minutes on a laptop." in page


def test_help_ends_the_program_without_an_error(presets, capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert stop.value.code == 0
    assert "Resamples of the groups." in capsys.readouterr().out


def test_missing_paths_name_the_places_looked_at(tmp_path):
    with pytest.raises(ConfigError, match="source: 'no/such' does not exist"):
        find_path("no/such", "source")
    assert find_path("pyproject.toml", "any").is_file()


def test_plain_values_survive_a_round_trip_through_yaml(presets):
    settings = parse("--layers", "1,2").config
    assert build(Settings, yaml.safe_load(yaml.safe_dump(to_plain(settings)))) == settings


def test_every_shipped_preset_configures_some_program():
    shipped = preset_names()
    assert shipped
    for name in shipped:
        assert any(name in preset_names(program) for program in config_module.PROGRAMS), name


def _unexplained(schema: type) -> list[str]:
    """List the fields without documentation in `schema` and in those nested in it that belong to programs."""
    hints = get_type_hints(schema)
    nested = [hints[f.name] for f in fields(schema) if is_dataclass(hints[f.name])]
    ours = {f.name for f in fields(schema) if hints[f.name] not in nested}
    missing = [name for name, (_, doc) in describe_fields(schema).items() if name in ours and not doc]
    return missing + [
        name for inner in nested if inner.__module__.startswith("experiments") for name in _unexplained(inner)
    ]


def test_every_field_of_the_transfer_program_is_explained():
    from experiments.transfer import TransferConfig

    assert _unexplained(TransferConfig) == []


def test_every_shipped_preset_is_valid_for_transfer():
    from experiments.transfer import TransferConfig

    for name in preset_names("transfer"):
        assert load_preset(name, "transfer", TransferConfig)[1].targets


@pytest.mark.parametrize("program", ["train_rlhf", "train_backdoor"])
def test_every_shipped_preset_is_valid_for_the_training_programs(program):
    from experiments.train_backdoor import TrainBackdoor
    from experiments.train_rlhf import TrainRLHF

    schema = {"train_rlhf": TrainRLHF, "train_backdoor": TrainBackdoor}[program]
    long = {f"mini-long{recipe}" for recipe in ("", "-rrhf", "-ddpo", "-macro", "-seq2seq")}
    more = {"mini-caveat", *long} if program == "train_rlhf" else set()
    assert set(preset_names(program)) == more | {
        *("mini", "mini-code", "quality", "apps", "quality-qwen", "apps-qwen", "paper-qa", "paper-code")
    }
    for name in preset_names(program):
        config = load_preset(name, program, schema)[1]
        assert config.dataset.taught_seed != config.dataset.evaluated_seed
        assert name.startswith("mini") or config.organisms.startswith("runs/"), "real text is not shipped"
    assert _unexplained(schema) == []
