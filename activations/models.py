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

from activations.adapters import Adapter, AdapterMismatchError, AdapterSwitch, adapter_state, is_peft
from activations.dtype import DTYPES, best_device, resolve_dtype
from activations.fingerprint import fingerprint_adapted, fingerprint_module, fingerprint_switched
from activations.weights import Weights, find_weights, read_checkpoint, read_config, refuse_encoder_decoder
from sophistry.quiet import quiet_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

QUANTISATIONS = ("8bit", "4bit")


@dataclass(kw_only=True, eq=False)
class Base:
    """Base weights in memory, shared by every `LoadedModel` that switches adapters on them."""

    weights: Weights | None
    dtype: str
    device: str
    quantisation: str | None = None
    switch: AdapterSwitch | None = None
    """The weights with the adapters on them; None until needed."""
    given_tokenizer: Any = None
    """The tokenizer of a model that was handed in."""
    reports: dict[str, Any] = field(default_factory=dict)
    """What the integrity gate found, see `activations.remembered`."""

    @property
    def module(self) -> Any:
        """The transformers model, or the PeftModel around it once an adapter was added; None until needed."""
        return self.switch and self.switch.module

    def activate(self, adapter: Adapter | None) -> Any:
        """Read the weights on first use, switch to exactly this adapter (None: the bare base)."""
        if self.switch is None:
            self.switch = AdapterSwitch(module=_read_weights(self), device=self.device)
        return self.switch.activate(adapter)

    @cached_property
    def tokenizer(self) -> Any:
        """The base's tokenizer."""
        from transformers import AutoTokenizer

        if self.given_tokenizer is not None:
            return self.given_tokenizer
        assert self.weights is not None  # wrap() gives a tokenizer
        tokenizer = AutoTokenizer.from_pretrained(self.weights.prepare(), trust_remote_code=False)
        if self.weights.chat_template and not getattr(tokenizer, "chat_template", None):
            tokenizer.chat_template = self.weights.chat_template
        return tokenizer


@quiet_libraries()
def _read_weights(base: Base) -> Any:
    import torch

    if base.weights is None:
        raise ValueError("This model was made in memory and has no weights on disk to read.")
    options: dict[str, Any] = {"dtype": getattr(torch, base.dtype), "use_safetensors": True}
    if base.quantisation:
        options |= {"quantization_config": _bitsandbytes(base.quantisation), "device_map": base.device}
    folder = base.weights.prepare()
    read_config(folder)  # refuses what cannot be read, before half a gigabyte is
    model: Any = read_checkpoint(folder, base.weights.ref, local_files_only=True, **options)
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
    content: str
    """Fingerprint of everything that was loaded: base, adapter, merged or not."""

    @classmethod
    def wrap(
        cls, model: Any, tokenizer: "PreTrainedTokenizerBase", *, ref: str = "in memory"
    ) -> "LoadedModel":
        """Use a transformers causal LM that is already in memory; its fingerprint hashes its tensors.

        Hashing reads every weight once. Wrap again after training: the fingerprint is not updated. Adapters
        that a PeftModel switches, scales or turns off do change it.

        Raises:
            WeightsError: an encoder-decoder, which this library does not read.
            AdapterMismatchError: a model with virtual tokens (prompt or prefix tuning).
        """
        refuse_encoder_decoder(model.config, ref)
        adapter_state(model)
        fingerprint = fingerprint_module(model)
        kinds = [str(parameter.dtype).removeprefix("torch.") for parameter in model.parameters()]
        base = Base(
            weights=None,
            dtype=next((kind for kind in kinds if kind in DTYPES), kinds[0]),
            device=str(next(model.parameters()).device),
            quantisation=None if set(kinds) <= set(DTYPES) else _quantisation_of(model),
            given_tokenizer=tokenizer,
        )
        base.switch = AdapterSwitch(module=model, device=base.device)
        return cls(
            ref=ref, adapter=None, merge=False, base=base, base_fingerprint=fingerprint, content=fingerprint
        )

    @property
    def fingerprint(self) -> str:
        """Fingerprint of what is computed: base, adapter, merged or not, adapters the caller switches."""
        if self.adapter is None and self._handed_in:
            return fingerprint_switched(self.content, adapter_state(self.base.module))
        return self.content

    @property
    def _handed_in(self) -> bool:
        """Whether the caller made the model and no adapter was put on it here: it is taken as it is."""
        switch = self.base.switch
        return self.base.weights is None and switch is not None and not switch.used

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
        return self.base.switch is not None

    @property
    def model(self) -> Any:
        """The transformers causal LM, or the PeftModel around it, in eval mode with this adapter active."""
        if self._handed_in and self.adapter is None:
            return self.base.module
        if not self.merge:
            return self.base.activate(self.adapter)
        return self._merged

    @cached_property
    def _merged(self) -> Any:
        merged = self.base.activate(self.adapter).merge_and_unload()
        self.base.switch = AdapterSwitch(module=merged, device=self.device)
        return merged

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The model's tokenizer, or the adapter's own; loading it does not load the weights."""
        return self.adapter.tokenizer(self.base.tokenizer) if self.adapter else self.base.tokenizer

    @cached_property
    def config(self) -> Any:
        """The transformers configuration, read without loading the weights."""
        if self.base.module is not None:
            return self.base.module.config
        assert self.base.weights is not None
        return read_config(self.base.weights.prepare())

    def with_adapter(self, adapter: str | Path | None) -> "LoadedModel":
        """The same base in memory with another adapter (None: without), so a pair costs one model."""
        if self.merge:
            raise ValueError("A merged model has lost its base: load it with merge=False to switch adapters.")
        if self._handed_in and is_peft(self.base.module):
            raise ValueError("This PeftModel has adapters of its own: wrap its base, and add them by folder.")
        opened = _check_adapter(adapter, self.base_fingerprint)
        return LoadedModel(
            ref=self.ref,
            adapter=opened,
            merge=False,
            base=self.base,
            base_fingerprint=self.base_fingerprint,
            content=_adapted(self.base_fingerprint, opened, merge=False),
        )

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
            self.base.switch = None
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
    dtype: str = "auto",
    device: str | None = None,
    merge: bool = False,
    *,
    quantisation: str | None = None,
) -> LoadedModel:
    """Load a causal language model by reference.

    Args:
        ref: a hub id, a local Hugging Face folder, a `*.gguf` file (converted once into the user's cache),
            or a name of `activations.named.NAMED`: `"smollm2"` (SmolLM2-135M-Instruct),
            `"qwen2.5-coder-1.5b"`, ..., from pinned, checked files.
        adapter: a PEFT adapter folder, or None. If its `organism.yaml` names a base fingerprint, it must
            be this base's.
        dtype: the type weights and computation have: `"bfloat16"`, `"float32"`, `"float16"`, or `"auto"`,
            bfloat16 where this machine computes it fast, else float32 (see `activations.dtype`).
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
    device = device or _best_device()
    dtype = resolve_dtype(dtype, device)
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
        base=Base(weights=weights, dtype=dtype, device=device, quantisation=quantisation),
        base_fingerprint=weights.fingerprint,
        content=_adapted(weights.fingerprint, opened, merge=merge),
    )


def _best_device() -> str:
    """CUDA if there is any; under torchrun, this process's own GPU."""
    import torch

    rank = os.environ.get("LOCAL_RANK")
    if rank is None or not torch.cuda.is_available():
        return best_device()
    return f"cuda:{int(rank) % torch.cuda.device_count()}"
