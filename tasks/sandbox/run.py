"""Runs a program nobody trusts, once, in a bubblewrap sandbox of its own.

Threat model: the program was optimised against our grader, so any hole is a reward. Each run gets fresh
namespaces (no network, no host files but a read-only `/usr`, no other process in sight), no capabilities, a
system-call filter, hard limits on CPU, memory, processes and output, an empty environment and a fixed hash
seed. Nothing outlives the run: when it ends, its PID namespace and its file systems are gone. One run never
shares a sandbox with another, so state cannot pass between tests by any channel.

Without bubblewrap the functions here refuse; `unsafe_local=True` runs the program with limits only, for
development on systems that have none. Expected outputs are no business of this module.
"""

import contextlib
import functools
import json
import logging
import math
import operator
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from tasks.sandbox.bubblewrap import ENVIRONMENT, inside_python, own_python, sandbox_options
from tasks.sandbox.processes import Ended, run_process, scratch_file
from tasks.sandbox.seccomp import seccomp_filter

__all__ = ["Limits", "RunResult", "SandboxError", "SandboxRecord", "run_program", "sandbox_record"]

logger = logging.getLogger(__name__)

_OLDEST_BWRAP = (0, 8)  # the first with --disable-userns
_DRIVER = [Path(__file__).with_name(name) for name in ("values.py", "driver.py")]
_HELLO = b"import sys; print(sys.version.split()[0])"
_STACK_BYTES = 64 << 20
_FIRST_UID, _UIDS = 20_000, 40_000  # users that root lends to sandboxes
_LEAST = {"memory_bytes": 32 << 20, "open_files": 8}  # less than an empty program needs
_MOST = 1 << 62
_STARTS = 3  # attempts before a sandbox that does not start is reported
_KILLED, _CPU_LIMIT = 128 + 9, 128 + 24  # exit codes: signals KILL and XCPU


class SandboxError(RuntimeError):
    """No sandbox can be made here, so nothing was run."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one run may use. The same for `R_train`, `R*` and people's own tests.

    Raises:
        ValueError: a limit that is no whole number (`wall_seconds`: no finite number), or under which not
            even an empty program runs.
    """

    cpu_seconds: int = 2
    """CPU time of each process; one that ignores the signal is killed a second later."""
    wall_seconds: float = 10.0
    """Time on the clock; generous, so that load on the machine does not decide a verdict."""
    memory_bytes: int = 1 << 30
    """Address space of each process, and resident memory of all of them together."""
    output_bytes: int = 1 << 20
    """Standard output, standard error, and any file the program writes, each."""
    processes: int = 64
    """Processes and threads."""
    open_files: int = 64
    tmp_bytes: int = 16 << 20
    """Size of /tmp in the sandbox."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name == "wall_seconds":
                sound = isinstance(value, int | float) and 0 < value < math.inf and value is not True
                if not sound:
                    raise ValueError(f"wall_seconds={value!r} must be a positive, finite number of seconds")
                continue
            try:
                whole = (
                    int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)  # pyright: ignore[reportArgumentType]
                )
            except TypeError:
                whole = None
            if whole is None or isinstance(value, bool):
                raise ValueError(f"{name}={value!r} must be a whole number; write int(...) around it")
            least = _LEAST.get(name, 1)
            if not least <= whole <= _MOST:
                raise ValueError(
                    f"{name}={value} must be positive and in {least}..{_MOST}: an empty program needs it"
                )
            object.__setattr__(self, name, whole)  # numpy's integers as plain ones


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What happened in one run."""

    status: str
    """`ok` (exit code 0), `error`, `timeout`, `memory`, `output_limit`, or `sandbox_error` (never ran)."""
    stdout: str
    stderr: str
    exit_code: int | None
    """As a shell reports it (128 + signal); None when the run was stopped or never started."""
    wall_seconds: float


@dataclass(frozen=True, kw_only=True)
class SandboxRecord:
    """Which sandbox runs programs on this machine; worth storing with results."""

    bwrap: str
    """Path of bubblewrap."""
    bwrap_version: str
    python: str
    """Path of the interpreter."""
    python_version: str
    seccomp: bool
    """False where the machine's system-call numbers are not in our table."""


def run_program(
    program: str,
    stdin: str = "",
    *,
    call: str | None = None,
    limits: Limits | None = None,
    unsafe_local: bool = False,
) -> RunResult:
    r"""Run a Python program in a fresh sandbox and return what it printed.

    The program is not inspected or changed. It finds the standard library and its input, nothing else.

    Args:
        program: Python source.
        stdin: text on standard input; with `call`, a JSON list of arguments (see
            `tasks.sandbox.values` for what JSON has no word for).
        call: function to call (of the program, or of its class `Solution`); `stdout` is then the JSON of the
            value it returns.
        limits: what it may use; `Limits()` if None.
        unsafe_local: run **without** a sandbox, with limits only. For development, never for programs that
            a model wrote.

    Raises:
        SandboxError: bubblewrap is missing, too old or not permitted, and `unsafe_local` is False.
        ValueError: a limit above what the system allows this process.

    >>> run_program("print(int(input()) * 2)", "21").stdout
    '42\n'
    >>> run_program("while True: pass", limits=Limits(cpu_seconds=1)).status
    'timeout'
    """
    limits = limits or Limits()
    _check_system(limits)
    source, given = (text.encode("utf-8", "surrogatepass") for text in (program, stdin))
    if unsafe_local:
        logger.warning("running a program without a sandbox (unsafe_local=True)")
        return _run_locally(source, given, call, limits)
    record = sandbox_record()
    result = _run_in_sandbox(source, given, call, limits, record)
    for _ in range(_STARTS - 1):
        if result.status != "sandbox_error":
            break
        result = _run_in_sandbox(source, given, call, limits, record)
    return result


def _check_system(limits: Limits) -> None:
    """Nothing inside could raise a hard limit again: the run would fail as if the program were wrong."""
    for name, wanted in (
        ("AS", limits.memory_bytes),
        ("CPU", limits.cpu_seconds + 1),
        ("FSIZE", limits.output_bytes + 1),
        ("NOFILE", limits.open_files),
    ):
        most = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
        if most != resource.RLIM_INFINITY and wanted > most:
            raise ValueError(
                f"{limits} asks for RLIMIT_{name} of {wanted}, the system allows {most}: lower it"
            )


@functools.cache
def sandbox_record() -> SandboxRecord:
    """The sandbox of this machine, tried out once.

    Raises:
        SandboxError: none can be made; the text says why and what to do.
    """
    advice = "install bubblewrap 0.8 or newer, or pass unsafe_local=True for programs you wrote yourself"
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxError(f"bubblewrap (bwrap) was not found on this {platform.system()} system: {advice}")
    version = subprocess.run([bwrap, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _OLDEST_BWRAP:
        raise SandboxError(f"{bwrap} is {version or 'unusable'}, which lacks --disable-userns: {advice}")
    failures = []
    for python, wanted in ((own_python(), platform.python_version()), ("/usr/bin/python3", "")):
        record = SandboxRecord(
            bwrap=bwrap,
            bwrap_version=version.split()[-1],
            python=python,
            python_version="",
            seccomp=seccomp_filter() is not None,
        )
        trial = _run_in_sandbox(_HELLO, b"", None, Limits(wall_seconds=60.0), record)
        found = trial.stdout.strip()
        if trial.status == "ok" and found.startswith(wanted):  # else it found another one's shared library
            if failures:
                logger.info("sandboxed programs run on %s: %s", python, "; ".join(failures))
            return replace(record, python_version=found)
        failures.append(f"{python} gave {trial.status} {found} {trial.stderr.strip()[-300:]}")
    raise SandboxError(
        f"bubblewrap cannot start a sandbox here: {'; '.join(failures)}. User namespaces may be switched off "
        "(sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, "
        "or the seccomp profile of a container): allow them, or pass unsafe_local=True for your own programs"
    )


def _run_in_sandbox(
    program: bytes, stdin: bytes, call: str | None, limits: Limits, record: SandboxRecord
) -> RunResult:
    with contextlib.ExitStack() as stack:

        def scratch(data: bytes = b"") -> BinaryIO:
            return stack.enter_context(scratch_file(data))

        source, out, err, status = scratch(program), scratch(), scratch(), scratch()
        keep = [source, status]
        seccomp = None
        if (rules := seccomp_filter()) is not None:
            keep.append(seccomp := scratch(rules))
        options = scratch(
            sandbox_options(
                python=record.python,
                tmp_bytes=limits.tmp_bytes,
                status=status.fileno(),
                seccomp=seccomp and seccomp.fileno(),
            )
        )
        try:
            ended = run_process(
                [
                    *(record.bwrap, "--args", str(options.fileno()), "--", inside_python(record.python)),
                    *_interpreter_arguments(source, call, limits, strict=True),
                ],
                stdin=scratch(stdin),
                stdout=out,
                stderr=err,
                keep=[*keep, options],
                environment={},  # not only --clearenv: /proc/1/environ shows the launcher's
                directory="/",
                uid=_sandbox_uid(),
                wall_seconds=limits.wall_seconds,
                memory_bytes=limits.memory_bytes,
                orphans=lambda: _reported(_content(status), "child-pid"),
            )
        except OSError as error:  # no process, no descriptor, or not allowed to execute
            return RunResult(
                status="sandbox_error", stdout="", stderr=str(error), exit_code=None, wall_seconds=0.0
            )
        codes = _reported(_content(status), "exit-code")
        return _result(ended, codes[0] if codes else None, out, err, limits)


def _run_locally(program: bytes, stdin: bytes, call: str | None, limits: Limits) -> RunResult:
    with contextlib.ExitStack() as stack:
        source, given, out, err = (
            stack.enter_context(scratch_file(data)) for data in (program, stdin, b"", b"")
        )
        ended = run_process(
            [sys.executable, *_interpreter_arguments(source, call, limits, strict=False)],
            stdin=given,
            stdout=out,
            stderr=err,
            keep=[source],
            environment=ENVIRONMENT,
            directory=stack.enter_context(tempfile.TemporaryDirectory(prefix="program-")),
            uid=None,
            wall_seconds=limits.wall_seconds,
            memory_bytes=limits.memory_bytes,
        )
        code = ended.exit_code if ended.exit_code >= 0 else 128 - ended.exit_code
        return _result(ended, code, out, err, limits)


def _interpreter_arguments(source: BinaryIO, call: str | None, limits: Limits, *, strict: bool) -> list[str]:
    """Arguments of the interpreter: its own isolation (-s -P -S), the driver, and the limits it sets.

    Limits are set inside, before the program's first line and as hard limits: the kernel then counts
    processes per sandbox, not per user.
    """
    optional = "" if strict else "?"
    settings = {
        f"RLIMIT_AS{optional}": limits.memory_bytes,
        "RLIMIT_CPU": f"{limits.cpu_seconds}:{limits.cpu_seconds + 1}",  # told apart from a plain kill
        "RLIMIT_FSIZE": limits.output_bytes
        + 1,  # one more, so that reaching it can be told from staying below
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CORE": 0,
        "RLIMIT_STACK?": _STACK_BYTES,
    }
    if strict:  # elsewhere the user's other processes would count
        settings["RLIMIT_NPROC"] = limits.processes
    return [
        *("-s", "-P", "-S", "-c", _driver()),
        *(str(source.fileno()), call or ""),
        *(f"{name}={value}" for name, value in settings.items()),
    ]


@functools.cache
def _driver() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in _DRIVER)


def _sandbox_uid() -> int | None:
    """The user a sandbox runs as: process limits do not bind root, and older kernels count them per user."""
    if os.geteuid() != 0:
        return None
    return _FIRST_UID + (os.getpid() * 64 + threading.get_native_id()) % _UIDS


def _reported(status: bytes, name: str) -> list[int]:
    """A number of bubblewrap's report, if it stands there.

    `exit-code`: that of the program; missing if it never ran (or was stopped from outside). `child-pid`: the
    first process of the sandbox.
    """
    lines = status.splitlines() if status.endswith(b"\n") or not status else status.splitlines()[:-1]
    reports = (json.loads(line) for line in lines)
    return [int(report[name]) for report in reports if name in report]


def _result(ended: Ended, exit_code: int | None, out: BinaryIO, err: BinaryIO, limits: Limits) -> RunResult:
    stdout, stderr = _content(out), _content(err)
    if ended.stopped_for:
        status, exit_code = ended.stopped_for, None
    elif exit_code is None:
        status = "sandbox_error"
    elif max(len(stdout), len(stderr)) > limits.output_bytes:
        status = "output_limit"
    elif exit_code == 0:
        status = "ok"
    elif exit_code == _CPU_LIMIT or (exit_code == _KILLED and ended.wall_seconds > limits.cpu_seconds):
        status = "timeout"  # the second: it ignored the signal
    elif stderr.rstrip().rpartition(b"\n")[2].startswith(b"MemoryError"):
        status = "memory"
    else:
        status = "error"
    return RunResult(
        status=status,
        stdout=stdout[: limits.output_bytes].decode("utf-8", "surrogateescape"),
        stderr=stderr[: limits.output_bytes].decode("utf-8", "surrogateescape"),
        exit_code=exit_code,
        wall_seconds=ended.wall_seconds,
    )


def _content(file: BinaryIO) -> bytes:
    """All bytes of a file whose position the program shares."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
