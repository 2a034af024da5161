"""Programs that models wrote run here, and nowhere else."""

from tasks.sandbox.run import Limits, RunResult, SandboxError, SandboxRecord, run_program, sandbox_record
from tasks.sandbox.values import pack, unpack

__all__ = [
    "Limits",
    "RunResult",
    "SandboxError",
    "SandboxRecord",
    "pack",
    "run_program",
    "sandbox_record",
    "unpack",
]
