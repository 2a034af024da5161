"""What the processor can do: the instructions that decide how fast numbers are multiplied.

A time means little without them: the same model reads several times faster with AMX than with AVX2.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

# name -> the flag of Linux that says so, from the plainest to the fastest
_FLAGS = {
    "AVX2": ("avx2",),
    "AVX512": ("avx512f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "AVX512-bf16": ("avx512_bf16",),
    "AMX": ("amx_tile",),
    "AMX-bf16": ("amx_bf16",),
    "NEON": ("asimd", "neon"),
    "ARM-bf16": ("bf16",),
}
BFLOAT16_INSTRUCTIONS = ("AVX512-bf16", "AMX-bf16", "ARM-bf16")
_CPUINFO = Path("/proc/cpuinfo")


def apple_silicon() -> bool:
    """Whether this is a Mac with Apple's own processor."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"


@cache
def cpu_instructions() -> tuple[str, ...]:
    """Vector instructions of the processor that matter for speed, for example `("AVX2", "AVX512")`.

    Linux says it in /proc/cpuinfo; elsewhere PyTorch does.
    """
    if _CPUINFO.is_file():
        return read_flags(_CPUINFO.read_text(encoding="utf-8", errors="replace"))
    return ("NEON",) if apple_silicon() else _ask_torch()


def read_flags(cpuinfo: str) -> tuple[str, ...]:
    """Name the instructions in the text of /proc/cpuinfo.

    >>> read_flags("processor : 0\\nflags\\t\\t: fpu avx2 avx512f amx_tile amx_bf16")
    ('AVX2', 'AVX512', 'AMX', 'AMX-bf16')
    """
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    found = next((set(text.split()) for key, _, text in lines if key.strip() in ("flags", "Features")), set())
    return tuple(name for name, flags in _FLAGS.items() if found & set(flags))


def usable_cores() -> int:
    """Processor cores that this process may use.

    >>> usable_cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> str:
    """One line for records and benchmarks: system, processor, cores this process may use, instructions."""
    found = " ".join(cpu_instructions()) or "no vector instructions known"
    return f"{platform.system()} {platform.machine()}, {usable_cores()} cores, {found}"


def _ask_torch() -> tuple[str, ...]:
    import torch

    asked = {
        "AVX2": "_is_avx2_supported",
        "AVX512": "_is_avx512_supported",
        "VNNI": "_is_vnni_supported",
        "AVX512-bf16": "_is_avx512_bf16_supported",
        "AMX": "_is_amx_tile_supported",
        "AMX-bf16": "_is_amx_tile_supported",
    }
    return tuple(name for name, ask in asked.items() if getattr(torch.cpu, ask, lambda: False)())
