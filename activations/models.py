"""Models by reference: what weights, which adapter, which number type - loaded only when first used.

`load_model` resolves a reference and its fingerprint; the half gigabyte of weights is read when `.model`
is first asked for. So a cached activation store can be found by its key without loading any weights.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from activations.fingerprint import (
    ADAPTER_FILES,
    fingerprint_adapted,
    fingerprint_module,
    hash_files,
    hash_json,
)
from activations.weights import Weights, find_weights

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

DTYPES = ("float32", "bfloat16", "float16")
QUANTISATIONS = ("8bit", "4bit")


class AdapterMismatchError(ValueError):
    """An adapter was trained on other base weights than the ones it is put on."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A PEFT adapter folder, its content hash, and the base it says it belongs to."""

    path: Path
    sha256: str
    base_fingerprint: str | None
    """From the folder's `organism.yaml`; None when the folder carries no such record."""

    @classmethod
    def open(cls, path: str | Path) -> "Adapter":
        """Read and hash an adapter folder, or an adapter repository on the hub."""
        folder = Path(path).expanduser()
        if not folder.is_dir():
            if folder.is_absolute() or str(path).startswith((".", "~")) or str(path).count("/") != 1:
                raise FileNotFoundError(f"No adapter folder at {folder.absolute()}: check the path.")
            from huggingface_hub import snapshot_download

            folder = Path(snapshot_download(str(path), allow_patterns=[*ADAPTER_FILES, "organism.yaml"]))
        missing = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(f"{folder} is no PEFT adapter folder: it lacks {', '.join(missing)}.")
        return cls(
            path=folder,
            sha256=hash_json(hash_files(folder, ADAPTER_FILES)),
            base_fingerprint=_recorded_base(folder / "organism.yaml"),
        )


def _recorded_base(record: Path) -> str | None:
    import yaml

    if not record.is_file():
        log.warning("%s has no organism.yaml: that it fits its base cannot be checked.", record.parent)
        return None
    return (yaml.safe_load(record.read_text()) or {}).get("base_fingerprint")


@dataclass(kw_only=True, eq=False)
class Base:
    """Base weights in memory, shared by every `LoadedModel` that switches adapters on them."""

    weights: Weights | None
    dtype: str
    device: str
    quantisation: str | None = None
    module: Any = None
    """The transformers model, or the PeftModel around it once an adapter was added; None until needed."""

    def load(self) -> Any:
        """The module, read from disk on first use."""
        if self.module is None:
            self.module = _read_weights(self)
        return self.module

    def activate(self, adapter: Adapter | None) -> Any:
        """Switch to exactly this adapter (None: the bare base) and return the module."""
        module = self.load()
        if adapter is None:
            if hasattr(module, "peft_config"):
                module.base_model.disable_adapter_layers()
            return module
        name = adapter.sha256[:16]  # peft names become parts of module paths: no dots or slashes
        if not hasattr(module, "peft_config"):
            self.module = module = _add_peft(module, adapter, name)
        elif name not in module.peft_config:
            module.load_adapter(
                str(adapter.path), adapter_name=name, torch_device=self.device, autocast_adapter_dtype=False
            )
        module.base_model.enable_adapter_layers()
        module.set_adapter(name)
        return module.eval()


def _add_peft(module: Any, adapter: Adapter, name: str) -> Any:
    from peft import PeftModel

    # adapters compute in the base's own number type: no float32 islands in a bfloat16 model
    return PeftModel.from_pretrained(
        module, str(adapter.path), adapter_name=name, autocast_adapter_dtype=False
    )


def _read_weights(base: Base) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    if base.weights is None:
        raise ValueError("This model was made in memory and has no weights on disk to read.")
    options: dict[str, Any] = {"dtype": getattr(torch, base.dtype), "use_safetensors": True}
    if base.quantisation:
        options |= {"quantization_config": _bitsandbytes(base.quantisation), "device_map": base.device}
    model: Any = AutoModelForCausalLM.from_pretrained(
        base.weights.prepare(), trust_remote_code=False, local_files_only=True, **options
    )
    return (model if base.quantisation else model.to(base.device)).eval()


def _quantisation_of(model: Any) -> str:
    for name in QUANTISATIONS:
        if getattr(model, f"is_loaded_in_{name}", False):
            return name
    config = getattr(model.config, "quantization_config", None)
    return str(getattr(config, "quant_method", "unknown"))


def _bitsandbytes(quantisation: str) -> Any:
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise ImportError(
            f"quantisation={quantisation!r} needs bitsandbytes: "
            "`pip install -e '.[quantisation]'`, or leave it out."
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_8bit=quantisation == "8bit", load_in_4bit=quantisation == "4bit")


@dataclass(kw_only=True, eq=False)
class LoadedModel:
    """A model with its tokenizer and fingerprint. The weights are read when `.model` is first used.

    Two objects made by `load_model` share nothing. Objects made by `with_adapter` share one base in
    memory; the one whose `.model` was asked for last is the one the shared module computes.
    """

    ref: str
    adapter: Adapter | None
    merge: bool
    base: Base = field(repr=False)
    base_fingerprint: str
    """Fingerprint of the weights without the adapter: what an organism records as its base."""
    fingerprint: str
    """Fingerprint of everything that was loaded: base, adapter, merged or not."""

    @classmethod
    def wrap(
        cls, model: Any, tokenizer: "PreTrainedTokenizerBase", *, ref: str = "in memory"
    ) -> "LoadedModel":
        """Use a transformers causal LM that is already in memory; its fingerprint hashes its tensors.

        Hashing reads every weight once. Wrap again after training: the fingerprint is not updated.
        """
        fingerprint = fingerprint_module(model)
        kinds = [str(parameter.dtype).removeprefix("torch.") for parameter in model.parameters()]
        base = Base(
            weights=None,
            dtype=next((kind for kind in kinds if kind in DTYPES), kinds[0]),
            device=str(next(model.parameters()).device),
            quantisation=None if set(kinds) <= set(DTYPES) else _quantisation_of(model),
            module=model,
        )
        loaded = cls(
            ref=ref,
            adapter=None,
            merge=False,
            base=base,
            base_fingerprint=fingerprint,
            fingerprint=fingerprint,
        )
        loaded.__dict__["tokenizer"] = tokenizer
        return loaded

    @property
    def dtype(self) -> str:
        """Number type of the computation: float32, bfloat16 or float16."""
        return self.base.dtype

    @property
    def device(self) -> str:
        """Where the model computes, for example `cpu` or `cuda:0`."""
        return self.base.device

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self.base.module is not None

    @property
    def model(self) -> Any:
        """The transformers causal LM, or the PeftModel around it, in eval mode with this adapter active."""
        if self.base.weights is None and self.adapter is None:
            return self.base.module  # handed in by the caller: take it as it is
        if not self.merge:
            return self.base.activate(self.adapter)
        return self._merged

    @cached_property
    def _merged(self) -> Any:
        self.base.module = self.base.activate(self.adapter).merge_and_unload()
        return self.base.module

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The model's tokenizer; loading it does not load the weights."""
        from transformers import AutoTokenizer

        assert self.base.weights is not None  # wrap() sets the tokenizer
        return AutoTokenizer.from_pretrained(self.base.weights.prepare(), trust_remote_code=False)

    @cached_property
    def config(self) -> Any:
        """The transformers configuration, read without loading the weights."""
        from transformers import AutoConfig

        if self.base.module is not None:
            return self.base.module.config
        assert self.base.weights is not None
        return AutoConfig.from_pretrained(self.base.weights.prepare(), trust_remote_code=False)

    def with_adapter(self, adapter: str | Path | None) -> "LoadedModel":
        """The same base in memory with another adapter (None: without), so a pair costs one model."""
        if self.merge:
            raise ValueError("A merged model has lost its base: load it with merge=False to switch adapters.")
        opened = _check_adapter(adapter, self.base_fingerprint)
        other = LoadedModel(
            ref=self.ref,
            adapter=opened,
            merge=False,
            base=self.base,
            base_fingerprint=self.base_fingerprint,
            fingerprint=_adapted(self.base_fingerprint, opened, merge=False),
        )
        if "tokenizer" in self.__dict__:
            other.__dict__["tokenizer"] = self.tokenizer
        return other

    @contextmanager
    def without_adapter(self) -> Iterator[Any]:
        """The bare base for a moment; the adapter is active again afterwards."""
        if self.adapter is None or self.merge:
            raise ValueError("There is no separate adapter to switch off.")
        try:
            yield self.base.activate(None)
        finally:
            self.base.activate(self.adapter)

    def recipe(self) -> dict[str, Any]:
        """Arguments with which `load_model` gives this model in another process or on another machine."""
        if self.base.weights is None:
            raise ValueError(
                "This model exists only in memory, so no other process can load it: save it with "
                "save_pretrained and load_model the folder."
            )
        return {
            "ref": self.ref,
            "adapter": self.adapter and str(self.adapter.path),
            "dtype": self.dtype,
            "merge": self.merge,
            "quantisation": self.base.quantisation,
        }

    def unload(self) -> None:
        """Drop the weights from memory; they are read again when next needed."""
        if self.base.weights is not None:
            self.base.module = None
            self.__dict__.pop("_merged", None)


def _check_adapter(adapter: str | Path | None, base_fingerprint: str) -> Adapter | None:
    if adapter is None:
        return None
    opened = Adapter.open(adapter)
    if opened.base_fingerprint not in (None, base_fingerprint):
        raise AdapterMismatchError(
            f"The adapter in {opened.path} was trained on base {opened.base_fingerprint}, but these "
            f"weights are {base_fingerprint}. Load the base named in its organism.yaml."
        )
    return opened


def _adapted(base: str, adapter: Adapter | None, *, merge: bool) -> str:
    return base if adapter is None else fingerprint_adapted(base, adapter.sha256, merged=merge)


def load_model(
    ref: str | Path,
    adapter: str | Path | None = None,
    dtype: str = "bfloat16",
    device: str | None = None,
    merge: bool = False,
    *,
    quantisation: str | None = None,
) -> LoadedModel:
    """Load a causal language model by reference.

    Args:
        ref: a hub id, a local Hugging Face folder, a `*.gguf` file (converted once into the user's cache),
            or `"smollm2"`: SmolLM2-135M-Instruct from a pinned, checked file.
        adapter: a PEFT adapter folder, or None. If its `organism.yaml` names a base fingerprint, it must
            be this base's.
        dtype: `"bfloat16"`, `"float32"` or `"float16"`: the type weights and computation have.
        device: for example `"cpu"` or `"cuda:1"`; None takes CUDA when there is one.
        merge: fold the adapter into the weights (faster, but in bfloat16 rounds them by about 1 %).
        quantisation: `"8bit"` or `"4bit"` through bitsandbytes.

    Returns:
        A `LoadedModel` with `.model`, `.tokenizer`, `.fingerprint`. Nothing heavy is read before `.model`
        is used; `"smollm2"` downloads about 100 MB the first time its tokenizer or weights are needed.

    Raises:
        WeightsError: the weights cannot be found, fetched, verified or read safely.
        AdapterMismatchError: the adapter was trained on another base.
        ValueError: an unknown dtype or quantisation, or `merge` without an adapter.

    >>> model = load_model("smollm2", dtype="float32")
    >>> model.fingerprint[:12], model.loaded
    ('42e0292682d7', False)
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}: use one of {', '.join(DTYPES)}.")
    if quantisation not in (None, *QUANTISATIONS):
        raise ValueError(f"quantisation={quantisation!r}: use None, {' or '.join(map(repr, QUANTISATIONS))}.")
    if merge and (adapter is None or quantisation):
        raise ValueError("merge=True needs an adapter and weights that are not quantised.")
    weights = find_weights(ref)
    opened = _check_adapter(adapter, weights.fingerprint)
    return LoadedModel(
        ref=weights.ref,
        adapter=opened,
        merge=merge,
        base=Base(weights=weights, dtype=dtype, device=device or _best_device(), quantisation=quantisation),
        base_fingerprint=weights.fingerprint,
        fingerprint=_adapted(weights.fingerprint, opened, merge=merge),
    )


def _best_device() -> str:
    """CUDA if there is any; under torchrun, this process's own GPU."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    rank = os.environ.get("LOCAL_RANK")
    return "cuda" if rank is None else f"cuda:{int(rank) % torch.cuda.device_count()}"
