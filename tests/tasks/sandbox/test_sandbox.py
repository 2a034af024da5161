"""The sandbox runs honest programs as Python would, says how a run ended, and refuses to run unprotected."""

import ctypes
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tasks.sandbox import Limits, SandboxError, processes, run_program, sandbox_record
from tasks.sandbox import run as sandbox
from tasks.sandbox.bubblewrap import own_python, sandbox_options
from tasks.sandbox.seccomp import seccomp_filter

PATIENT = Limits(cpu_seconds=1, wall_seconds=120.0)  # a busy machine must not decide a test


@pytest.fixture(autouse=True, scope="module")
def _bubblewrap():
    try:
        sandbox_record()
    except SandboxError as error:
        pytest.skip(str(error))


HONEST = {
    "input": "print(int(input()) + int(input()))",
    "sys.stdin": "import sys\nprint(sum(map(int, sys.stdin)))",
    "sys.stdin.buffer": "import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))",
    "open(0)": "print(sum(map(int, open(0))))",
    "/dev/stdin": "print(sum(map(int, open('/dev/stdin'))))",
    "sys.stdout.write": "import sys\nsys.stdout.write('12\\n')",
    "os.write": "import os\nos.write(1, b'12')",
    "raised recursion limit": """
        import sys
        sys.setrecursionlimit(10 ** 6)
        def depth(n):
            return 0 if n == 0 else 1 + depth(n - 1)
        print(depth(50_000) - 49_988)
    """,
    "thread with a large stack": """
        import sys, threading
        sys.setrecursionlimit(10 ** 6)
        threading.stack_size(1 << 27)
        thread = threading.Thread(target=lambda: print(12))
        thread.start()
        thread.join()
    """,
    "main guard": "def main():\n    print(12)\nif __name__ == '__main__':\n    main()",
    "exit()": "print(12)\nexit()",
    "quit()": "print(12)\nquit()",
    "sys.exit()": "import sys\nprint(12)\nsys.exit()",
    "raise SystemExit": "print(12)\nraise SystemExit",
    "exit(0) in a function": "def main():\n    print(12)\n    exit(0)\nmain()",
    "no trailing newline": "print(12, end='')",
    "dataclass with text annotations": """
        from __future__ import annotations
        from dataclasses import dataclass
        @dataclass
        class Point:
            x: int
        print(Point(12).x)
    """,
    "writes a file in /tmp": "open('/tmp/a', 'w').write('12')\nprint(open('/tmp/a').read())",
    "standard library": "import heapq, collections, itertools, decimal, re, functools\nprint(12)",
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_programs_run_as_they_would_outside(name):
    result = run_program(textwrap.dedent(HONEST[name]), "5\n7\n", limits=PATIENT)
    assert (result.status, result.stdout.strip()) == ("ok", "12"), result.stderr


def test_large_input_and_output_arrive_whole():
    text = "".join(f"{i}\n" for i in range(100_000))
    result = run_program("import sys\nsys.stdout.write(sys.stdin.read())", text, limits=PATIENT)
    assert (result.status, result.stdout) == ("ok", text)


def test_text_outside_ascii_arrives_whole():
    assert run_program("print(input())", "naïve ✓ 数\n", limits=PATIENT).stdout == "naïve ✓ 数\n"


def test_bytes_that_are_not_text_do_not_stop_the_parent():
    result = run_program(r"import os; os.write(1, b'\xff\xfe')", limits=PATIENT)
    assert result.status == "ok"
    assert len(result.stdout) == 2


def test_program_with_its_own_name_for_everything_finds_no_name_of_ours():
    names = run_program("print(sorted(n for n in dir() if not n.startswith('__')))", limits=PATIENT).stdout
    assert names.strip() == "[]"


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("", "ok"),
        ("raise SystemExit(3)", "error"),
        ("1 / 0", "error"),
        ("print(", "error"),
        ("x = bytearray(3 << 30)", "memory"),
        ("while True: pass", "timeout"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "error"),
        ("while True: print('x' * 1000)", "output_limit"),
        ("import sys\nwhile True: print('x' * 1000, file=sys.stderr)", "output_limit"),
    ],
)
def test_status_says_how_the_run_ended(program, status):
    assert run_program(program, limits=PATIENT).status == status


def test_sleeping_past_the_clock_is_a_timeout():
    assert run_program("import time\ntime.sleep(60)", limits=Limits(wall_seconds=0.5)).status == "timeout"


def test_output_of_exactly_the_limit_passes_and_one_more_does_not():
    limits = Limits(output_bytes=1000, wall_seconds=120.0)
    assert run_program("print('x' * 1000, end='')", limits=limits).status == "ok"
    assert run_program("print('x' * 1001, end='')", limits=limits).status == "output_limit"


def test_order_of_string_sets_is_the_same_in_every_run():
    program = "print(*{str(i) for i in range(50)})"
    assert len({run_program(program, limits=PATIENT).stdout for _ in range(3)}) == 1


def test_call_returns_plain_json_and_what_is_printed_is_not_the_answer():
    program = "def double(items):\n    print('[9, 9]')\n    return tuple(2 * i for i in items)"
    assert run_program(program, "[[1, 2]]", call="double", limits=PATIENT).stdout == "[2, 4]"
    method = "class Solution:\n    def double(self, items):\n        return [2 * i for i in items]"
    assert run_program(method, "[[1, 2]]", call="double", limits=PATIENT).stdout == "[2, 4]"
    assert run_program(program, "[[1, 2]]", call="triple", limits=PATIENT).status == "error"


def test_refuses_without_bubblewrap_and_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox_record.cache_clear()
    try:
        with pytest.raises(SandboxError, match=r"not found.*install bubblewrap.*unsafe_local"):
            run_program("print(1)")
    finally:
        monkeypatch.undo()
        sandbox_record.cache_clear()


def test_refuses_a_bubblewrap_that_cannot_make_sandboxes(monkeypatch, tmp_path):
    for version, message in (
        ("bubblewrap 0.4.1", "lacks --disable-userns"),
        ("bubblewrap 0.9.0", "cannot start"),
    ):
        fake = tmp_path / "bwrap"
        fake.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo {version}\nexit 1\n')
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        sandbox_record.cache_clear()
        try:
            with pytest.raises(SandboxError, match=message):
                sandbox_record()
        finally:
            monkeypatch.undo()
            sandbox_record.cache_clear()


def test_a_sandbox_that_does_not_start_is_not_a_wrong_program(monkeypatch):
    def no_shell(**options):
        return sandbox_options(**options) + b"--bind\0/no/such/path\0/x\0"

    sandbox_record()
    monkeypatch.setattr(sandbox, "sandbox_options", no_shell)
    assert run_program("print(1)", limits=PATIENT).status == "sandbox_error"


def test_without_a_sandbox_limits_still_hold():
    assert run_program("print(input())", "hi", limits=PATIENT, unsafe_local=True).stdout == "hi\n"
    assert run_program("while True: pass", limits=PATIENT, unsafe_local=True).status == "timeout"
    assert run_program("x = bytearray(3 << 30)", limits=PATIENT, unsafe_local=True).status == "memory"
    assert run_program("print(1)\nraise SystemExit(2)", limits=PATIENT, unsafe_local=True).exit_code == 2


def test_limits_must_be_positive():
    with pytest.raises(ValueError, match="cpu_seconds=0 must be positive"):
        Limits(cpu_seconds=0)


def test_every_refused_system_call_number_is_the_kernel_headers_number():
    header = "#include <sys/syscall.h>\n"
    calls = [
        "shmget",
        "mq_open",
        "add_key",
        "ptrace",
        "unshare",
        "memfd_create",
        "bpf",
        "io_uring_setup",
        "mount",
    ]
    compiler = subprocess.run(
        ["cc", "-E", "-dM", "-"], input=header, capture_output=True, text=True, check=False
    )
    if compiler.returncode:
        pytest.skip("no C compiler to ask for the system's numbers")
    numbers = dict(
        line.split()[1:3] for line in compiler.stdout.splitlines() if line.startswith("#define __NR_")
    )
    program = seccomp_filter()
    assert program is not None
    compared = {int.from_bytes(program[i + 4 : i + 8], sys.byteorder) for i in range(0, len(program), 8)}
    assert {int(numbers[f"__NR_{call}"]) for call in calls} <= compared


def test_own_interpreter_is_the_one_below_the_virtual_environment():
    version = subprocess.run([own_python(), "-V"], capture_output=True, text=True, check=True).stdout
    assert version.split()[1] == sys.version.split()[0]


def test_systems_without_process_descriptors_still_see_the_end(monkeypatch):
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert run_program("print(1)", limits=PATIENT).status == "ok"
    assert run_program("import time\ntime.sleep(60)", limits=Limits(wall_seconds=0.5)).status == "timeout"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends users to sandboxes")
@pytest.mark.parametrize("setpriv", [True, False])
def test_a_lent_user_is_the_same_with_and_without_setpriv(setpriv, monkeypatch):
    if not setpriv:
        monkeypatch.setattr(processes.shutil, "which", lambda _: None)
    with processes.scratch_file() as given, processes.scratch_file() as out:
        processes.run_process(
            ["/bin/sh", "-c", "id -u; id -g; id -G; grep CapEff /proc/self/status"],
            stdin=given,
            stdout=out,
            stderr=out,
            keep=[],
            environment={"PATH": "/usr/bin:/bin"},
            directory="/",
            uid=20_123,
            wall_seconds=60.0,
            memory_bytes=1 << 30,
        )
        out.seek(0)
        assert out.read().split() == [b"20123", b"20123", b"20123", b"CapEff:", b"0" * 16]


@pytest.mark.parametrize(
    "limits",
    [
        {"memory_bytes": 1000},
        {"cpu_seconds": True},
        {"wall_seconds": float("nan")},
        {"wall_seconds": float("inf")},
        {"open_files": 1},
        {"output_bytes": 1 << 70},
    ],
)
def test_a_limit_under_which_nothing_can_run_is_refused_by_name(limits):
    (name,) = limits
    with pytest.raises(ValueError, match=name):
        Limits(**limits)


def _unchecked(**values):
    """Limits as a caller without a type checker makes them."""
    limits = object.__new__(Limits)
    for name, value in (vars(Limits()) | values).items():
        object.__setattr__(limits, name, value)
    limits.__post_init__()
    return limits


@pytest.mark.parametrize("value", [1e9 + 0.5, float("nan"), "1", None])
def test_a_limit_that_is_no_whole_number_is_refused(value):
    with pytest.raises(ValueError, match="memory_bytes"):
        _unchecked(memory_bytes=value)


def test_whole_numbers_of_any_kind_are_limits():
    for value in (np.int64(3), 3.0):
        assert type(_unchecked(cpu_seconds=value).cpu_seconds) is int


@pytest.mark.parametrize(("name", "least"), [("memory_bytes", 32 << 20), ("open_files", 8), ("processes", 1)])
def test_an_empty_program_runs_under_the_least_limit(name, least):
    assert run_program("", limits=Limits(**{name: least})).status == "ok"


def test_a_limit_above_the_systems_is_refused_and_no_wrong_program(monkeypatch):
    monkeypatch.setattr(sandbox.resource, "getrlimit", lambda name: (10, 100))
    with pytest.raises(ValueError, match="RLIMIT_AS"):
        run_program("")


def _ended_children():
    """Processes that ended, wait for this one to notice, or for a PID 1 that may never do."""
    listed = subprocess.run(
        ["ps", "-eo", "stat=,ppid=,pid=,comm="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    return {row[2] for row in rows if row[0].startswith("Z") and int(row[1]) == os.getpid()}


@pytest.mark.parametrize("program", ["print(1)", "import os\nos.fork()", "while True: pass"])
def test_the_end_of_every_run_is_noticed_here_and_left_to_nobody(program, monkeypatch):
    reaped = []
    waitpid = os.waitpid

    def noted(pid, options):
        found = waitpid(pid, options)
        reaped.append(found[0])
        return found

    monkeypatch.setattr(processes.os, "waitpid", noted)
    run_program(program, limits=Limits(wall_seconds=1.0))
    assert any(reaped)
    assert not _ended_children()


def test_a_process_that_had_no_orphans_before_has_none_after():
    prctl = ctypes.CDLL(None).prctl
    run_program("print(1)")
    found = ctypes.c_int(7)
    prctl(processes._GET_SUBREAPER, ctypes.byref(found), 0, 0, 0)
    assert found.value == 0
