"""PEFT adapters on one base in memory: which one is at work, and that it is exactly what its folder holds.

An adapter is loaded once and switched on and off. Nothing about it is taken on trust: a key that its file
lacks, or has and the model does not, is an error, and tensors of the base that it overwrites (trained biases
or embeddings) are put back when it is switched off, which PEFT itself does not do.
"""

import json
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from activations.fingerprint import ADAPTER_FILES, TOKENIZER_FILES, hash_files, hash_json
from sophistry.quiet import quiet_libraries

logger = logging.getLogger(__name__)

VIRTUAL_TOKENS = (
    "PROMPT_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "P_TUNING",
    "PREFIX_TUNING",
    "CPT",
    "ADAPTION_PROMPT",
)
SHOWN = 3  # keys that a message names


class AdapterMismatchError(ValueError):
    """An adapter does not belong on the base it is put on, or cannot be read as it is meant."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A PEFT adapter folder, its content hash, and the base it says it belongs to."""

    path: Path
    sha256: str
    base_fingerprint: str | None
    """From the folder's `organism.yaml`; None when the folder carries no such record."""

    @classmethod
    def open(cls, path: str | Path) -> "Adapter":
        """Read and hash an adapter folder, or an adapter repository on the hub.

        Raises:
            AdapterMismatchError: it puts virtual tokens before the text, which no capture here would see.
        """
        folder = Path(path).expanduser().absolute()
        if not folder.is_dir():
            if Path(path).is_absolute() or str(path).startswith((".", "~")) or str(path).count("/") != 1:
                raise FileNotFoundError(f"No adapter folder at {folder}: check the path.")
            from huggingface_hub import snapshot_download

            wanted = [*ADAPTER_FILES, *TOKENIZER_FILES, "organism.yaml"]
            folder = Path(snapshot_download(str(path), allow_patterns=wanted))
        missing = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(f"{folder} is no PEFT adapter folder: it lacks {', '.join(missing)}.")
        kind = json.loads((folder / "adapter_config.json").read_text()).get("peft_type")
        if kind in VIRTUAL_TOKENS:
            raise _no_virtual_tokens(str(folder), str(kind))
        return cls(
            path=folder,
            sha256=hash_json(hash_files(folder, ADAPTER_FILES)),
            base_fingerprint=_recorded_base(folder / "organism.yaml"),
        )

    @property
    def name(self) -> str:
        """What PEFT calls it; names become parts of module paths, so no dots or slashes."""
        return self.sha256[:16]

    def tokenizer(self, base: Any) -> Any:
        """The adapter's own tokenizer or chat template where its folder has one, else the base's."""
        from transformers import AutoTokenizer

        own = {name for name in TOKENIZER_FILES if (self.path / name).is_file()}
        if not own:
            return base
        if own == {"chat_template.jinja"}:
            import copy

            tokenizer = copy.deepcopy(base)
            tokenizer.chat_template = (self.path / "chat_template.jinja").read_text()
            return tokenizer
        try:
            return AutoTokenizer.from_pretrained(self.path, trust_remote_code=False, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise AdapterMismatchError(
                f"{self.path} carries tokenizer files ({', '.join(sorted(own))}), but they cannot be loaded "
                f"({error}). Complete them, or delete them if the base's tokenizer is meant."
            ) from error


def _no_virtual_tokens(where: str, kind: str) -> AdapterMismatchError:
    return AdapterMismatchError(
        f"{where} is a {kind} adapter: it adds trained virtual tokens or prompts that stand in no row, so "
        "positions and activations would not be those of the text. Use one that changes weights (LoRA, ...)."
    )


def _recorded_base(record: Path) -> str | None:
    import yaml

    if not record.is_file():
        logger.warning("%s has no organism.yaml: that it fits its base cannot be checked.", record.parent)
        return None
    return (yaml.safe_load(record.read_text()) or {}).get("base_fingerprint")


def is_peft(module: Any) -> bool:
    """Whether this is a PeftModel (around a transformers model)."""
    return hasattr(module, "peft_config") and hasattr(module, "get_base_model")


def adapter_state(module: Any) -> list[list[Any]]:
    """Every adapted module with what is at work in it: active adapters, their scale, what is merged.

    Empty where no adapter is at work. Two states with the same tensors may compute different things.

    Raises:
        AdapterMismatchError: the model puts virtual tokens before the text.
    """
    if "peft" not in sys.modules:  # then nothing can be one of its classes
        return []
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    for name in getattr(module, "active_adapters", ()) if is_peft(module) else ():
        kind = str(getattr(module.peft_config[name].peft_type, "value", module.peft_config[name].peft_type))
        if kind in VIRTUAL_TOKENS:
            raise _no_virtual_tokens(f"Adapter {name!r} of this model", kind)
    state: list[list[Any]] = []
    for name, part in module.named_modules():
        if not isinstance(part, (BaseTunerLayer, AuxiliaryTrainingWrapper)):
            continue
        scales = getattr(part, "scaling", {})
        merged = [str(adapter) for adapter in getattr(part, "merged_adapters", ())]
        active = [] if part.disable_adapters else [a for a in part.active_adapters if _has(part, a)]
        if active or merged:
            factors = {adapter: float(scales[adapter]) for adapter in active if adapter in scales}
            state.append([name, active, factors, merged])
    return state


def _has(part: Any, adapter: str) -> bool:
    """Whether this module has weights of the adapter; PEFT calls one active also where it has none."""
    names = getattr(part, "adapter_layer_names", None)
    if names is None:  # a wrapper around a whole module
        return adapter in getattr(part, "_adapters", (adapter,))
    return any(adapter in getattr(part, name, {}) for name in names)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Overwritten:
    """A tensor of the base that an adapter brings its own value for."""

    parameter: Any
    base: Any
    trained: Any


@dataclass(kw_only=True, eq=False)
class AdapterSwitch:
    """Adapters on one model in memory, exactly one or none of them at work."""

    module: Any
    """The transformers model, or the PeftModel around it once an adapter was added."""
    device: str
    _overwritten: dict[str, list[_Overwritten]] = field(default_factory=dict)
    _states: dict[str, Any] = field(default_factory=dict)

    @property
    def used(self) -> bool:
        """Whether an adapter was ever put on."""
        return bool(self._overwritten)

    def activate(self, adapter: Adapter | None) -> Any:
        """Switch to exactly this adapter (None: the bare base) and return the module.

        Raises:
            AdapterMismatchError: its file does not fit the model, or its scale was changed by hand.
        """
        for tensor in (tensor for tensors in self._overwritten.values() for tensor in tensors):
            tensor.parameter.data.copy_(tensor.base)
        if adapter is None:
            if is_peft(self.module):
                self.module.base_model.disable_adapter_layers()
            return self.module
        if adapter.name not in self._overwritten:
            self._overwritten[adapter.name] = self._load(adapter)
        self.module.base_model.enable_adapter_layers()
        self.module.set_adapter(adapter.name)
        for tensor in self._overwritten[adapter.name]:
            tensor.parameter.data.copy_(tensor.trained)
        state = adapter_state(self.module)
        if self._states.setdefault(adapter.name, state) != state:
            raise AdapterMismatchError(
                f"The adapter in {adapter.path} no longer computes what was loaded: its scale was "
                "changed, or it was merged. Load the model again, or LoadedModel.wrap the changed one."
            )
        return self.module.eval()

    @quiet_libraries()
    def _load(self, adapter: Adapter) -> list[_Overwritten]:
        """Put the adapter's layers and weights in place, and return which tensors of the base it changed."""
        from peft import PeftConfig, get_peft_model
        from safetensors import safe_open

        with safe_open(adapter.path / "adapter_model.safetensors", framework="pt") as file:
            written = set(file.keys())
        named = {_plain(name): parameter for name, parameter in self.module.named_parameters()}
        touched = [named[name] for name in map(_plain, written) if name in named]
        before = [parameter.detach().clone() for parameter in touched]
        bare = None if is_peft(self.module) else self.module
        try:
            if bare is not None:
                config = PeftConfig.from_pretrained(str(adapter.path))
                config.inference_mode = True
                # adapters compute in the base's own number type: no float32 islands in a bfloat16 model
                self.module = get_peft_model(bare, config, adapter.name, autocast_adapter_dtype=False)
            self.module.load_adapter(
                str(adapter.path), adapter.name, torch_device=self.device, autocast_adapter_dtype=False
            )
            _check_keys(adapter, self.module, written, set(named))
        except (AdapterMismatchError, RuntimeError, ValueError, KeyError, TypeError) as error:
            self._undo(adapter.name, bare)
            for parameter, value in zip(touched, before, strict=True):
                parameter.data.copy_(value)
            if isinstance(error, AdapterMismatchError):
                raise
            if isinstance(error, KeyError) and "trainable_tokens" in str(error):
                raise AdapterMismatchError(
                    f"PEFT cannot load {adapter.path} beside one with trained tokens: give it a base of "
                    "its own with load_model(ref, adapter=...)."
                ) from error
            raise AdapterMismatchError(
                f"The adapter in {adapter.path} does not fit this base: {error}"
            ) from error
        changed = [
            _Overwritten(parameter=parameter, base=value, trained=parameter.detach().clone())
            for parameter, value in zip(touched, before, strict=True)
            if not parameter.equal(value)
        ]
        for tensor in changed:
            tensor.parameter.data.copy_(tensor.base)
        return changed

    def _undo(self, name: str, bare: Any) -> None:
        """Take a refused adapter out again."""
        if not is_peft(self.module):
            return
        if bare is not None:
            self.module = self.module.unload()
        elif name in self.module.peft_config:
            others = [other for other in self.module.peft_config if other != name]
            self.module.set_adapter(others[0])
            self.module.delete_adapter(name)


def _plain(name: str) -> str:
    """A parameter's name as the bare base has it."""
    for part in ("base_model.model.", "base_layer.", "original_module."):
        name = name.replace(part, "")
    return name


def _check_keys(adapter: Adapter, module: Any, written: set[str], base: set[str]) -> None:
    from peft import get_peft_model_state_dict

    weights = get_peft_model_state_dict(module, adapter_name=adapter.name, save_embedding_layers=False)
    expected = set(weights)
    strange = {key for key in written - expected if _plain(key) not in base}
    problems = [
        f"{words} {len(keys)} ({', '.join(sorted(keys)[:SHOWN])}{', ...' if len(keys) > SHOWN else ''})"
        for words, keys in (
            ("keys that its configuration needs and the file lacks:", expected - written),
            ("keys in the file that fit nothing in this model:", strange),
        )
        if keys
    ]
    if problems:
        raise AdapterMismatchError(
            f"The adapter in {adapter.path} does not fit this base; {'; '.join(problems)}. It may have been "
            "saved from a compiled or wrapped model, or for another base: save it from the plain PeftModel."
        )
