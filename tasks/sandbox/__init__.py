"""Programs that models wrote run here, and nowhere else."""

from tasks.sandbox.run import Limits, RunResult, SandboxError, SandboxRecord, run_program, sandbox_record

__all__ = ["Limits", "RunResult", "SandboxError", "SandboxRecord", "run_program", "sandbox_record"]
