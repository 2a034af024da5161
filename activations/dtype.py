"""Which number type this machine multiplies fast: what `dtype="auto"` means.

bfloat16 halves the memory and, with the instructions for it, is several times faster than float32; without
them every product is emulated and several times slower. The hardware says what it can do, and a measurement
of a fraction of a second confirms it. Both happen once per process and are logged in one line.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from sophistry.machine import BFLOAT16_INSTRUCTIONS, apple_silicon, cpu_instructions

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

DTYPES = ("float32", "bfloat16", "float16")
AUTO = "auto"
# bfloat16 must be at least this fast, relative to float32, where the hardware claims it: it halves the memory
# too, and a busy machine measures a few tenths wrong.
CONTRADICTED = 0.8
_ROWS, _WIDTH, _REPEATS = 256, 1024, 3


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A number type and why it was chosen."""

    dtype: str
    reason: str
    """For the log and the record: the hardware, its instructions, the measured speed where there is one."""


def resolve_dtype(dtype: str, device: str | None = None) -> str:
    """Turn `"auto"` into what `device` (None: the best there is) computes fast; other types stay.

    Raises:
        ValueError: a type that is not known.

    >>> resolve_dtype("float32")
    'float32'
    """
    if dtype == AUTO:
        return choose_dtype((device or best_device()).partition(":")[0]).dtype
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}: use one of {', '.join((AUTO, *DTYPES))}.")
    return dtype


def resolve_autocast(autocast: bool | str, device: str | None = None) -> bool:
    """Whether training computes in bfloat16 around float32 weights; `"auto"`: where that is fast.

    Raises:
        ValueError: neither a bool nor `"auto"`.

    >>> resolve_autocast(False)
    False
    """
    if autocast == AUTO:
        return resolve_dtype(AUTO, device) == "bfloat16"
    if not isinstance(autocast, bool):
        raise ValueError(f"autocast={autocast!r}: use auto, true or false.")
    return autocast


def describe_autocast(autocast: bool | str) -> str:
    """Say, for the record of a training, what it computed in and on which instructions.

    >>> describe_autocast(False).split()[0]
    'float32'
    """
    dtype = "bfloat16 autocast" if resolve_autocast(autocast) else "float32"
    return f"{dtype} on {capability(best_device())[1]}"


@cache
def choose_dtype(kind: str) -> Choice:
    """Choose for a kind of device (`cpu`, `cuda`, `mps`), once per process, and log it."""
    choice = _choose(kind)
    logger.info("number type: %s (%s)", choice.dtype, choice.reason)
    return choice


def best_device() -> str:
    """CUDA where there is any, else the CPU.

    >>> best_device() in ("cpu", "cuda")
    True
    """
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _choose(kind: str) -> Choice:
    capable, hardware = capability(kind)
    if not capable:
        return Choice(dtype="float32", reason=f"{hardware}: no instructions for bfloat16")
    speed = relative_speed(kind)
    reason = f"{hardware}; bfloat16 products measured at {speed:.1f} times the speed of float32"
    return Choice(dtype="bfloat16" if speed >= CONTRADICTED else "float32", reason=reason)


def capability(kind: str) -> tuple[bool, str]:
    """Whether the hardware has bfloat16 products, and its name with its instructions."""
    import torch

    if kind == "cuda":
        major, minor = torch.cuda.get_device_capability()
        name = f"{torch.cuda.get_device_name()}, capability {major}.{minor}"
        return major >= 8 and torch.cuda.is_bf16_supported(including_emulation=False), name
    if kind == "mps" or apple_silicon():
        return True, "Apple silicon"
    found = cpu_instructions()
    return bool(set(found) & set(BFLOAT16_INSTRUCTIONS)), f"CPU with {' '.join(found) or 'no vector units'}"


def relative_speed(kind: str) -> float:
    """How much faster bfloat16 matrix products are than float32's; below 1 second on any laptop.

    The two types take turns, and the best time of each counts, so that what else runs hits both alike.
    """
    import torch

    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    sides = {
        dtype: (
            torch.ones(_ROWS, _WIDTH, dtype=dtype, device=kind),
            torch.ones(_WIDTH, _WIDTH, dtype=dtype, device=kind),
        )
        for dtype in best
    }
    with torch.inference_mode():
        for _ in range(_REPEATS + 1):  # the first product also sets things up
            for dtype, (left, right) in sides.items():
                best[dtype] = min(best[dtype], _seconds(left, right, kind))
    return best[torch.float32] / best[torch.bfloat16]


def _seconds(left: torch.Tensor, right: torch.Tensor, kind: str) -> float:
    import torch

    waits = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(kind, lambda: None)
    waits()
    start = time.perf_counter()
    left @ right
    waits()
    return time.perf_counter() - start
