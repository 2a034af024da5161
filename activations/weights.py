"""Where weights come from: a hub id, a local folder, a GGUF file, or a name (`activations.named`).

Every reference ends as a Hugging Face folder on disk. GGUF files are dequantised once into the user's
cache as float32, which holds every dequantised value exactly (bfloat16 would round them, and training
starts from these weights). Work happens under a lock in a `.part` folder that is renamed when complete,
so an interrupted or doubled run leaves either nothing or the finished folder.
"""

import json
import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activations.fingerprint import cache_dir, fingerprint_folder, fingerprint_gguf, hash_file
from activations.gguf_fields import carry_scaling, read_fields, uncarried
from activations.named import (
    NAMED,
    NamedModel,
    WeightsError,
    fetch,
    local_copy,
    named_model,
    working,
)
from sophistry.quiet import quiet_libraries

logger = logging.getLogger(__name__)

CONVERSION = 2  # raise when the converted folder changes
FINISHED = "source.json"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights by reference: the fingerprint is cheap, the folder may cost a download or a conversion."""

    ref: str
    fingerprint: str
    prepare: Callable[[], Path]
    """Returns the Hugging Face folder, making it first if need be."""
    chat_template: str | None = None
    """For a tokenizer that has none."""


def find_weights(ref: str | Path) -> Weights:
    """Resolve a model reference; see `activations.load_model` for the forms it may take."""
    name, path = str(ref), Path(ref).expanduser()
    named = None if path.is_dir() or path.suffix == ".gguf" else named_model(name)
    if named is not None and named.file is not None and named.sha256 is not None:
        folder = _converted_folder(named.file, named.sha256)
        return Weights(
            ref=name,
            fingerprint=fingerprint_gguf(named.sha256),
            prepare=lambda: _fetch_and_convert(named, folder),
        )
    if path.suffix == ".gguf":
        if not path.is_file():
            raise WeightsError(f"No GGUF file at {path.absolute()}: check the path.")
        path = path.absolute()  # it may be read only after the caller has changed folders
        sha256 = hash_file(path)
        folder = _converted_folder(path.name, sha256)
        return Weights(
            ref=name, fingerprint=fingerprint_gguf(sha256), prepare=lambda: convert_gguf(path, folder)
        )
    if path.is_dir():
        folder = path.absolute()
    elif named is None:
        folder = _download_from_hub(name)
    else:
        folder = local_copy(named) or _download_from_hub(named.hub, named.revision)
    _check_folder(folder)
    template = named and named.chat_template
    return Weights(
        ref=name, fingerprint=fingerprint_folder(folder), prepare=lambda: folder, chat_template=template
    )


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder} holds no config.json, so it is no Hugging Face model folder.")
    if not any(folder.glob("*.safetensors")):
        raise WeightsError(
            f"{folder} holds no *.safetensors. Other formats run code when loaded and are refused: load the "
            "model once in a place you trust and write it with save_pretrained(..., safe_serialization=True)."
        )


def _download_from_hub(repo: str, revision: str | None = None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    wanted = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=wanted))
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise WeightsError(
            f"{repo!r} is no local folder, no .gguf file, none of {sorted(NAMED)} and no model on the "
            f"Hugging Face hub ({error}). Check the spelling; private models need `hf auth login`."
        ) from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise WeightsError(
            f"{repo!r} is neither a local folder nor in the hub's cache, and the hub cannot be reached "
            f"({error})."
        ) from error


def read_config(folder: Path) -> Any:
    """The transformers configuration in a folder.

    Raises:
        WeightsError: the model cannot be read here (see `check_readable`), or needs code of its own.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (ValueError, KeyError) as error:
        raise WeightsError(f"{folder} has a configuration that transformers cannot read: {error}") from error
    check_readable(config, str(folder))
    return config


def check_readable(config: Any, name: str) -> None:
    """Refuse what is no causal language model, by its configuration.

    Raises:
        WeightsError: an encoder-decoder, or an architecture without a causal language model.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    refuse_encoder_decoder(config, name)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise WeightsError(
            f"{name} is a {config.model_type} model, for which transformers has no causal language model: "
            "this library cannot read it."
        )


def refuse_encoder_decoder(config: Any, name: str) -> None:
    """Raise `WeightsError` for a model whose prompt and response go through different stacks."""
    if getattr(config, "is_encoder_decoder", False):
        raise WeightsError(
            f"{name} is an encoder-decoder ({config.model_type}): its prompt and response would go through "
            "different stacks, and this library reads causal language models only."
        )


def read_checkpoint(folder: Path, name: str, **options: Any) -> Any:
    """A transformers causal LM from a folder (or the GGUF file in it), with every tensor in its place.

    Raises:
        WeightsError: tensors are missing, unexpected or of another shape; names them.
    """
    from transformers import AutoModelForCausalLM

    with quiet_libraries():
        model, report = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportGeneralTypeIssues]
            folder,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported, and refused below with their names
            **options,
        )
    problems = {
        "missing from its files": report["missing_keys"],
        "in its files but not in the model": report["unexpected_keys"],
        "of another shape": [key[0] if isinstance(key, tuple) else key for key in report["mismatched_keys"]],
        "that could not be read": report.get("error_msgs") or [],
    }
    found = [f"{len(keys)} tensors {words} ({_some(keys)})" for words, keys in problems.items() if keys]
    if found:
        raise WeightsError(
            f"{name} is not the {type(model).__name__} its configuration names: {'; '.join(found)}. Its "
            "numbers would be made up in part: get the whole checkpoint, or save it again from its own class."
        )
    return model


def _some(keys: Iterable[Any], shown: int = 3) -> str:
    names = sorted(map(str, keys))
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")


def _converted_folder(name: str, sha256: str) -> Path:
    return cache_dir() / "models" / f"{Path(name).stem}-{sha256[:12]}-float32"


def _finished(folder: Path, conversion: int = 1) -> bool:
    """Whether the folder is whole, and made by this conversion or a later one."""
    try:
        return json.loads((folder / FINISHED).read_text())["conversion"] >= conversion
    except (OSError, ValueError, KeyError):
        return False


def convert_gguf(gguf: Path, folder: Path) -> Path:
    """Dequantise `gguf` into a float32 Hugging Face folder; returns at once if the folder exists."""
    from filelock import FileLock

    if _finished(folder, CONVERSION):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not _finished(folder, CONVERSION):  # another process may have made it while we waited
            _convert_locked(gguf, folder)
    return folder


@quiet_libraries()
def _convert_locked(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    fields, tensors = read_fields(gguf)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # left by an interrupted run; the lock says nobody writes it
    part.mkdir()
    with working(f"Converting {gguf.name} to float32 safetensors (once)"):
        quantised = read_checkpoint(gguf.parent, gguf.name, gguf_file=gguf.name, dtype=torch.float32)
        # The loaded model still calls itself GGUF and refuses to be saved: rebuild it as a plain one.
        config = quantised.config.to_dict()
        config.pop("quantization_config", None)
        config = carry_scaling(fields, config)
        plain = AutoModelForCausalLM.from_config(
            type(quantised.config).from_dict(config), dtype=torch.float32
        )
        if lost := uncarried(fields, tensors, plain):
            raise WeightsError(
                f"{gguf.name} says what cannot be carried into a {type(plain).__name__}: {'; '.join(lost)}. "
                "Its numbers would be another model's: use the original checkpoint, not the GGUF file."
            )
        plain.load_state_dict(quantised.state_dict())
        plain.tie_weights()
        with quiet_libraries():
            plain.save_pretrained(part)
            tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
        tokenizer.save_pretrained(part)
    record = {"file": gguf.name, "sha256": hash_file(gguf), "conversion": CONVERSION}
    (part / FINISHED).write_text(json.dumps(record, indent=1))
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier conversion
    part.replace(folder)


def _fetch_and_convert(named: NamedModel, folder: Path) -> Path:
    from filelock import FileLock

    if _finished(folder):
        return folder
    if (local := local_copy(named)) is not None:
        return convert_gguf(local, folder)
    downloads = cache_dir() / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    with FileLock(downloads / f"{named.file}.lock"):
        if not _finished(folder):  # another process may have made it while we waited
            gguf = fetch(named)
            convert_gguf(gguf, folder)
            gguf.unlink(missing_ok=True)  # the folder replaces it
    return folder
