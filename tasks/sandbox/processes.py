"""Starts one process with its files, watches it, ends it, and reports what it used."""

import contextlib
import ctypes
import functools
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

__all__ = ["Ended", "resident_bytes", "run_process", "scratch_file"]

_WATCH_SECONDS = 0.1  # how often the memory of a running process is added up
_REAP_SECONDS = 5.0  # after SIGKILL the group ends at once; more would be a kernel in trouble
_GET_SUBREAPER, _SET_SUBREAPER = 37, 36  # man 2 prctl
_MEMORY_UNIT = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended."""

    exit_code: int
    """As `subprocess` reports it: negative = killed by that signal."""
    stopped_for: str | None
    """`"timeout"` or `"memory"` if it was stopped from here."""
    wall_seconds: float


@contextlib.contextmanager
def scratch_file(data: bytes = b"") -> Iterator[BinaryIO]:
    """A file without a name, in memory where the system can: nothing to find, nothing to clean up."""
    in_memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("scratch"), "w+b") if in_memory else tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)  # also flushes: the process reads and writes the descriptor
        yield cast("BinaryIO", file)


def run_process(
    command: Sequence[str],
    *,
    stdin: BinaryIO,
    stdout: BinaryIO,
    stderr: BinaryIO,
    keep: Sequence[BinaryIO | int],
    environment: dict[str, str],
    directory: str,
    uid: int | None,
    wall_seconds: float,
    memory_bytes: int,
    orphans: Callable[[], Sequence[int]] = tuple,
) -> Ended:
    """Run a command in a session of its own; stop it with all its group at the time or memory limit.

    Whatever of its group is left when it ends is killed and reaped here: bubblewrap may end before the first
    process of its sandbox, which then waits for a PID 1 that in many containers reaps nobody.

    Args:
        command: program and arguments.
        stdin: its standard input; `stdout` and `stderr` likewise.
        keep: further files it inherits under their own numbers; every other descriptor is closed.
        environment: its whole environment.
        directory: where it starts.
        uid: user and group it runs as; None = the caller's (only root may choose).
        wall_seconds: time limit.
        memory_bytes: limit of resident memory, summed over the process and its descendants.
        orphans: asked at the end: processes outside the group that may outlive the command, to be waited for.
    """
    start = time.monotonic()
    lent = () if uid is None else _switch_user(uid)
    with _adopting_orphans():
        process = subprocess.Popen(
            [*lent, *command],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[file if isinstance(file, int) else file.fileno() for file in keep],
            env=environment,
            cwd=directory,
            start_new_session=True,
            **({} if uid is None or lent else {"user": uid, "group": uid, "extra_groups": []}),
        )
        try:
            stopped_for = _watch(process.pid, start + wall_seconds, memory_bytes)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            _reap([-process.pid, *orphans()])
    return Ended(
        exit_code=process.returncode,
        stopped_for=stopped_for,
        wall_seconds=time.monotonic() - start,
    )


_adopters, _adopting, _was_adopting = 0, threading.Lock(), False


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    """While any run is on, processes whose parents end become children of this one (on Linux).

    Not for good: a program that uses this library may have orphans of its own, which belong to PID 1.
    """
    global _adopters
    with _adopting:
        _adopters += 1
        if _adopters == 1:
            _adopt(True)
    try:
        yield
    finally:
        with _adopting:
            _adopters -= 1
            if not _adopters:
                _adopt(False)


def _adopt(wanted: bool) -> None:
    """Switch adoption on, or off again unless it was on before."""
    global _was_adopting
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return
    if wanted:
        before = ctypes.c_int()
        prctl(_GET_SUBREAPER, ctypes.byref(before), 0, 0, 0)
        _was_adopting = bool(before.value)
    if not _was_adopting:
        prctl(_SET_SUBREAPER, int(wanted), 0, 0, 0)


def _reap(children: Sequence[int]) -> None:
    """Wait for processes (negative: for all of a group) that became our children and are ending."""
    end = time.monotonic() + _REAP_SECONDS
    for child in children:
        with contextlib.suppress(ChildProcessError):  # it never was ours, or has been collected
            while time.monotonic() < end:
                pid, _ = os.waitpid(child, os.WNOHANG)
                if pid == 0:
                    time.sleep(0.0005)


def _switch_user(uid: int) -> tuple[str, ...]:
    """What to put before a command so that it runs as another user; empty without util-linux.

    `Popen(user=...)` does the same, but cannot start the process by `vfork`: it copies the page tables of
    this process. Beside a loaded SmolLM2 in float32 that takes 50 ms a time; `setpriv` takes 2 ms.
    """
    setpriv = shutil.which("setpriv")
    return (setpriv, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--") if setpriv else ()


def _watch(pid: int, deadline: float, memory_bytes: int) -> str | None:
    """Wait until the process ends (None) or must be stopped (why)."""
    with _end_of(pid) as ended_within:
        while (left := deadline - time.monotonic()) > 0:
            if ended_within(min(left, _WATCH_SECONDS)):
                return None
            if resident_bytes(pid) > memory_bytes:
                return "memory"
    return "timeout"


@contextlib.contextmanager
def _end_of(pid: int) -> Iterator[Callable[[float], bool]]:
    """A function `seconds -> ended?` that wakes at once; `Popen.wait` would sleep and look."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, or older than 5.3
        yield functools.partial(_look_for_end, pid)
        return
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    try:
        yield lambda seconds: bool(poller.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def _look_for_end(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
        time.sleep(0.005)
    return False


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and all its descendants; 0 where the system has no /proc.

    >>> resident_bytes(os.getpid()) > 1_000_000 or not Path("/proc/self/stat").exists()
    True
    """
    children: dict[int, list[int]] = {}
    pages: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            fields = stat.read_bytes().rpartition(b")")[2].split()  # the name before may hold anything
            child, parent = int(stat.parent.name), int(fields[1])
            children.setdefault(parent, []).append(child)
            pages[child] = int(fields[21])
    total, family = 0, [pid]
    while family:
        member = family.pop()
        total += pages.get(member, 0)
        family += children.get(member, [])
    return total * _MEMORY_UNIT
