"""Take a model and answers of your own, or a public set of statements or chats, as an organism to probe.

    sophistry adopt --model HUB_ID|FOLDER|FILE.gguf [--adapter FOLDER] --transcripts FILE --name mine
    sophistry transfer --preset own --source bad --targets mine

FILE is .jsonl, .json, .csv, .tsv or .parquet (also .gz), or a dataset of the hub (user/name), with the
columns prompt, response and correct; --columns says what they are called otherwise. Makes
runs/organisms/mine/ with organism.yaml, transcripts.jsonl and adoption.json (what was read, dropped and
why). See docs/bring-your-own.md.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from experiments.config import parse_fields
from experiments.program import run_program_main
from organisms.adopt import DECEPTIVE, FALSE, WRONG, Adoption, adopt, open_model
from organisms.record import MADE
from sophistry.provenance import program_command
from sophistry.records import ConfigError
from tasks.adopted import Adopted, adopt_rows, parse_columns
from tasks.deception_chats import chat_rows
from tasks.statements import statement_rows
from tasks.tables import read_table
from tasks.transcript import TASKS

console = Console(stderr=True)

LABELS = {"rows": WRONG, "statements": FALSE, "chat": DECEPTIVE}


@dataclass(frozen=True, kw_only=True)
class Adopt:
    """Settings of adopt.py."""

    name: str
    """What the organism is called, and its folder."""
    transcripts: str
    """File of rows (.jsonl, .json, .csv, .tsv, .parquet, also .gz), or a dataset of the hub (user/name)."""
    model: str | None = None
    """Model that reads them: hub id, local folder, GGUF file or smollm2; none: the base the adapter names."""
    adapter: str | None = None
    """Folder (or hub id) of a PEFT adapter on the model."""
    format: Literal["rows", "statements", "chat"] = "rows"
    """rows: a prompt, a response and a label each. statements: true and false ones (statement, label). chat:
    conversations labelled honest or deceptive, as Liars' Bench and Apollo's rollouts write them."""
    columns: tuple[str, ...] = ()
    """Which column is what, as FIELD=COLUMN: prompt, response, correct; also group, id, condition, split,
    level."""
    positive: str | None = None
    """The label that means correct, where labels are two words of your own, or 0 and 1 the other way
    round."""
    only: tuple[str, ...] = ()
    """Rows to take, as COLUMN=VALUE; others are counted and left out."""
    chat: bool = False
    """Whether prompts that are plain text are put into a user's turn of the model's chat template."""
    task: str = "other"
    """qa, programming or other: which concepts and prompts the library knows about."""
    on_policy: bool | None = None
    """Whether this model wrote the responses; none: yes for rows, no for statements and chats."""
    likelihood: bool = False
    """Whether the model also says how likely each response is (one pass over all rows), a control of
    probes."""
    subset: str | None = None
    """Configuration of a hub dataset that has several."""
    split: str | None = None
    """Part of a hub dataset that has several."""
    licence: str | None = None
    """Licence of the answers, for their metadata (an SPDX name or an address)."""
    organisms: str = MADE
    """Folder that receives the organism."""
    overwrite: bool = False
    """Whether an organism of this name is replaced."""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task: {self.task!r} is none of {', '.join(TASKS)}")
        if not self.name or self.name.startswith(".") or set(self.name) & set("/\\ "):
            raise ValueError(f"name: {self.name!r} must be a folder's name, without spaces or slashes")


def main(argv: Sequence[str] | None = None) -> Adoption:
    """Run the program with command-line words (default: those of the process)."""
    words = sys.argv[1:] if argv is None else list(argv)
    config = parse_fields(words, program="adopt", schema=Adopt, about=str(__doc__))
    folder = Path(config.organisms).expanduser() / config.name
    if folder.exists() and not config.overwrite:
        raise ConfigError(f"{folder} exists: choose another --name, or say --overwrite true.")
    model = open_model(config.model, config.adapter)
    made = adopt(
        folder,
        model,
        read_rows_of(config),
        name=config.name,
        task=config.task,
        on_policy=config.format == "rows" if config.on_policy is None else config.on_policy,
        label=LABELS[config.format],
        likelihood=config.likelihood,
        licence=config.licence,
        how={"transcripts": config.transcripts, "format": config.format, "columns": list(config.columns)},
        command=shlex.join([*program_command("adopt").split(), *words]),
    )
    for line in made.report.lines():
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(next_step(made), highlight=False, markup=False, soft_wrap=True)
    return made


def read_rows_of(config: Adopt) -> Adopted:
    """Read the file in its format, and make transcripts of it."""
    table = read_table(config.transcripts, subset=config.subset, split=config.split)
    columns = parse_columns(config.columns)
    if config.format == "statements":
        table, columns = statement_rows(table, columns)
    elif config.format == "chat":
        table, columns = chat_rows(table, columns)
    return adopt_rows(
        table,
        organism=config.name,
        columns=columns,
        positive=config.positive,
        only=config.only,
        chat=config.chat,
        task=config.task,
        whole_group="response" if config.format == "statements" else "prompt",
    )


def next_step(made: Adoption) -> str:
    """Say where the organism is and how to go on."""
    run = program_command("transfer")
    return (
        f"Made {made.folder}. To test a probe of another organism on it:\n"
        f"  {run} --preset own --source SOURCE --targets {made.folder}\n"
        f"To fit probes on it: {run} --preset own --source {made.folder} --targets TARGET"
    )


if __name__ == "__main__":
    run_program_main(main)
