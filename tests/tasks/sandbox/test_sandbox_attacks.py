"""Programs that want a pass they did not earn, or want out. Each class of the threat list is here.

A test here fails when an attack succeeds: a wrong verdict, a secret seen, a limit passed, something left.
"""

import json
import os
import shutil
import socket
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.grading import grade, grade_many
from tasks.sandbox import Limits, SandboxError, bubblewrap, run_program, sandbox_record
from tasks.sandbox.bubblewrap import hidden_folders, sandbox_options

PATIENT = Limits(cpu_seconds=1, wall_seconds=120.0)  # a busy machine must not decide a test
SECRET = "expected-8731"
PROBE = """
def attempt(action):
    try:
        return action()
    except BaseException as error:
        return type(error).__name__
"""


@pytest.fixture(autouse=True, scope="module")
def _bubblewrap():
    try:
        sandbox_record()
    except SandboxError as error:
        pytest.skip(str(error))


def run(program, stdin="", **limits):
    limits = {"cpu_seconds": 1, "wall_seconds": 120.0, **limits}
    return run_program(PROBE + textwrap.dedent(program), stdin, limits=Limits(**limits))


def answers(program, stdin=""):
    """What a program that prints one JSON value found out."""
    result = run(f"import json\n{textwrap.dedent(program)}", stdin)
    assert result.status == "ok", result.stderr
    return json.loads(result.stdout)


# Tampering with the grader


TAMPERING = {
    "frame walking": """
        import gc, sys
        frame, found = sys._getframe(), []
        while frame:
            found += [repr(frame.f_locals), repr(frame.f_globals)]
            frame = frame.f_back
        found += [repr(thing) for thing in gc.get_objects() if isinstance(thing, (str, list, dict, tuple))]
        text = "".join(found)
        start = text.find("expected-" + "8")
        print(text[start:start + 13] if start >= 0 else "nothing")
    """,
    "own memory": """
        needle, found = b"expected-" + b"8", b""
        for line in open("/proc/self/maps"):
            low, high = (int(x, 16) for x in line.split()[0].split("-"))
            if line.split()[1].startswith("r") and "[v" not in line:
                with open("/proc/self/mem", "rb", 0) as memory:
                    memory.seek(low)
                    block = memory.read(high - low)
                at = block.find(needle + b"7")
                if at >= 0:
                    found = block[at:at + 13]
        print(found.decode() or "nothing")
    """,
    "object equal to everything": """
        class Any(str):
            __eq__ = lambda self, other: True
            __hash__ = str.__hash__
        print(Any("x"))
    """,
    "patched builtins": """
        import builtins, sys
        builtins.print = lambda *a, **k: None
        builtins.all = builtins.any = lambda *a: True
        builtins.len = lambda *a: 1
        str.__eq__ if True else None
        sys.exit = lambda *a: None
        print("x")
    """,
    "exit 0 after partial output": "import sys\nprint('expected')\nsys.exit(0)",
    "os._exit": "import os\nprint('x')\nos._exit(0)",
    "pass mark": """
        print('ok', 'passed', 'Result(status="ok")', '{"status": "ok"}', '{"exit-code": 0}')
    """,
    "inherited descriptors": """
        import os
        for descriptor in range(3, 256):
            attempt(lambda: os.write(descriptor, b'{"exit-code": 0}\\npassed\\n'))
        raise SystemExit(1)
    """,
}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_with_the_grader_earns_nothing(name):
    program = PROBE + textwrap.dedent(TAMPERING[name])
    verdict = grade(program, [{"input": "", "output": SECRET}], limits=PATIENT)
    assert verdict.passed is False
    assert verdict.results[0].status in {"wrong", "error", "timeout"}
    assert SECRET not in verdict.results[0].output


CALL_TAMPERING = {
    "equal to everything": """
        class Any(list):
            __eq__ = lambda self, other: True
        def solve(n):
            return Any()
    """,
    "patched json": """
        import json
        json.dump = lambda value, file: file.write("true")
        def solve(n):
            return None
    """,
    "two answers": """
        import os
        def solve(n):
            for descriptor in range(3, 64):
                try:
                    os.write(descriptor, b"[0]")
                except OSError:
                    pass
            return n
    """,
    "not a number": "def solve(n):\n    return float('nan')",
    "deep nesting": """
        def solve(n):
            import json
            json.dump = lambda value, file: file.write("[" * 100000)
    """,
    "huge integer": """
        def solve(n):
            import json
            json.dump = lambda value, file: file.write("9" * 100000)
    """,
}


@pytest.mark.parametrize("name", CALL_TAMPERING)
def test_tampering_with_the_call_earns_nothing(name):
    tests = [{"fn_name": "solve", "args": [7], "output": [7, SECRET]}]
    assert grade(textwrap.dedent(CALL_TAMPERING[name]), tests, limits=PATIENT).passed is False


# Information


def test_no_secret_of_the_launcher_is_visible(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", SECRET)
    seen = answers("""
        import glob, os
        texts = [repr(dict(os.environ))]
        for path in glob.glob("/proc/[0-9]*/*") + glob.glob("/proc/[0-9]*/task/*/*"):
            if path.rsplit("/", 1)[1] in ("environ", "cmdline", "mountinfo", "status", "comm"):
                texts.append(str(attempt(lambda: open(path).read())))
        print(json.dumps(texts))
    """)
    text = "".join(seen)
    assert SECRET not in text
    assert "SOME_TOKEN" not in text
    assert str(Path.cwd()) not in text
    assert str(Path.home()) + "/" not in text


def test_only_the_sandbox_is_visible():
    seen = answers("""
        import os, socket
        print(json.dumps({
            "root": sorted(os.listdir("/")),
            "processes": [int(name) for name in os.listdir("/proc") if name.isdigit()],
            "descriptors": os.listdir("/proc/self/fd"),
            "passwd": attempt(lambda: open("/etc/passwd").read()),
            "shadow": attempt(lambda: open("/proc/1/root/etc/shadow").read()),
            "cwd": os.listdir("."),
            "host": socket.gethostname(),
            "user": os.getuid(),
            "memory of init": attempt(lambda: open("/proc/1/mem", "rb").read(1)),
            "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")],
        }))
    """)
    assert set(seen["root"]) <= {"bin", "dev", "lib", "lib64", "opt", "proc", "tmp", "usr"}
    assert len(seen["processes"]) <= 2
    assert len(seen["descriptors"]) <= 4  # 0, 1, 2 and the listing itself
    assert seen["passwd"] == seen["shadow"] == "FileNotFoundError" or seen["shadow"] == "PermissionError"
    assert seen["cwd"] == []
    assert (seen["host"], seen["user"]) == ("sandbox", 65534)
    assert seen["memory of init"] in {"PermissionError", "OSError"}
    assert {int(value, 16) for value in seen["capabilities"]} == {0}


def test_test_files_of_other_runs_are_not_found():
    run("open('/tmp/answers', 'w').write('42')")
    seen = answers("""
        import os
        print(json.dumps([names for top in ("/tmp", "/dev/shm") for *_, names in os.walk(top) if names]))
    """)
    assert seen == []


def test_no_network_of_any_kind():
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind("\0sophistry-test")
        unix.listen()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(0.2)
        seen = answers(f"""
            import socket
            def datagram():
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                s.sendto(b"x", ("127.0.0.1", {udp.getsockname()[1]}))
            print(json.dumps({{
                "tcp": attempt(lambda: socket.create_connection(("127.0.0.1", {tcp.getsockname()[1]}), 1)),
                "outside": attempt(lambda: socket.create_connection(("192.0.2.1", 80), 1)),
                "unix": attempt(lambda: socket.socket(socket.AF_UNIX).connect("\\0sophistry-test")),
                "udp": attempt(datagram),
            }}))
        """)
        with pytest.raises(TimeoutError):
            udp.recv(1)
        udp.close()
    assert seen["tcp"] == seen["unix"] == "ConnectionRefusedError"
    assert seen["outside"] == "OSError"


# Resources


def test_processor_time_cannot_be_exceeded_by_ignoring_signals():
    program = """
        import signal
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            attempt(lambda: sum(range(10 ** 6)))
    """
    result = run(program)
    assert result.status == "timeout"
    assert result.exit_code == 137, "the kernel ended it, not the clock"


def test_sleep_that_catches_everything_ends_at_the_clock():
    sleeper = "import time\nwhile True: attempt(lambda: time.sleep(100))"
    stopped = "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"
    for program in (sleeper, stopped):
        assert run(program, wall_seconds=0.7).status == "timeout"


def test_memory_bomb_is_a_memory_verdict_also_when_many_processes_share_it():
    assert run("x = [bytearray(1 << 20) for _ in range(10 ** 5)]", cpu_seconds=60).status == "memory"
    many = """
        import os, time
        for _ in range(20):
            if os.fork() == 0:
                x = bytearray(os.urandom(1) * (60 << 20))
                time.sleep(100)
        time.sleep(100)
    """
    assert run(many, memory_bytes=300 << 20, cpu_seconds=60).status == "memory"


def test_memory_outside_the_address_space_is_refused():
    seen = answers("""
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        print(json.dumps({
            "system v": libc.shmget(0, 1 << 28, 0o1600),
            "memfd": attempt(lambda: os.memfd_create("x")),
            "message queue": libc.msgget(0, 0o1600),
        }))
    """)
    assert seen == {"system v": -1, "memfd": "PermissionError", "message queue": -1}


def test_fork_bomb_stops_at_the_process_limit():
    program = """
        import os, time
        count = 0
        try:
            while True:
                if os.fork() == 0:
                    time.sleep(100)
                count += 1
        except BlockingIOError:
            print(count, flush=True)
    """
    result = run(program, processes=32)
    assert result.status == "ok", result.stderr
    assert 1 <= int(result.stdout.splitlines()[0]) < 32
    assert run("import os\nwhile True: attempt(os.fork)", wall_seconds=1.5).status == "timeout"


def test_deep_recursion_in_c_ends_only_the_program():
    program = "import sys\nsys.setrecursionlimit(10 ** 9)\nx = []\nfor _ in range(10 ** 7): x = [x]\nrepr(x)"
    assert run(program).status in {"error", "memory", "timeout"}


@pytest.mark.parametrize("place", ["/", "/dev", "/dev/shm", "/tmp", "/usr", "/proc", "/run", "/var/tmp"])
def test_no_place_takes_more_than_its_small_share(place):
    program = f"""
        import os
        written, block = 0, b"x" * (1 << 16)
        for number in range(400):
            def fill():
                global written
                with open("{place}/file" + str(number), "wb", 0) as file:
                    while True:
                        written += file.write(block)
            attempt(fill)
        print(json.dumps(written))
    """
    allowed = {"/tmp": 16 << 20, "/dev/shm": 1 << 20}.get(place, 0)
    assert answers(program) <= allowed


def test_many_empty_files_end_with_the_run():
    program = """
        import os
        number = 0
        while True:
            os.close(os.open("/tmp/" + str(number), os.O_CREAT))
            number += 1
    """
    assert run(program).status in {"timeout", "error"}
    assert answers("import os\nprint(json.dumps(os.listdir('/tmp')))") == []


# Escape


def test_no_way_to_more_rights():
    seen = answers("""
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        def call(*arguments):
            ctypes.set_errno(0)
            return libc.syscall(*arguments)
        USER, MOUNT = 0x10000000, 0x20000
        os.mkdir("/tmp/root")
        print(json.dumps({
            "unshare user": libc.unshare(USER),
            "unshare mount": libc.unshare(MOUNT),
            "mount": libc.mount(b"none", b"/tmp/root", b"tmpfs", 0, None),
            "chroot": attempt(lambda: os.chroot("/tmp/root")),
            "ptrace init": libc.ptrace(16, 1, None, None),
            "setuid": attempt(lambda: os.setuid(0)),
            "remount": libc.mount(b"none", b"/", b"", 32, None),
            "set host name": attempt(lambda: __import__("socket").sethostname("x")),
            "raise limit": attempt(lambda: __import__("resource").setrlimit(7, (4096, 4096))),
        }))
    """)
    assert all(value in {-1, "PermissionError", "OSError", "ValueError"} for value in seen.values()), seen


def test_new_user_namespace_by_clone_is_refused():
    seen = answers("""
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
        child = libc.syscall(number, 0x10000000 | 17, 0, 0, 0, 0)
        if child == 0:
            os._exit(0)
        print(json.dumps(child))
    """)
    assert seen == -1


def test_old_kernel_doors_are_shut():
    """System calls of another architecture's table would pass by the filter."""
    seen = run("""
        import ctypes, os
        if os.uname().machine == "x86_64":
            libc = ctypes.CDLL(None, use_errno=True)
            print(libc.syscall(0x40000000 + 39))
        else:
            print(-1)
    """)
    assert seen.stdout.strip() == "-1"


def test_nothing_outlives_the_run():
    name = f"orphan{os.getpid() % 10**6}"
    program = f"""
        import ctypes, os, signal, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in set(signal.Signals) - {{signal.SIGKILL, signal.SIGSTOP}}:
                    signal.signal(number, signal.SIG_IGN)
                ctypes.CDLL(None).prctl(15, b"{name}", 0, 0, 0)
                time.sleep(60)
            os._exit(0)
        time.sleep(0.2)
        print("gone")
    """
    assert run(program).stdout == "gone\n"
    deadline = time.monotonic() + 3
    while _alive(name) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(name)


def _alive(name):
    def comm(path):
        try:
            return path.read_text().strip()
        except OSError:  # ended meanwhile
            return ""

    return any(comm(path) == name for path in Path("/proc").glob("[0-9]*/comm"))


def test_signals_do_not_reach_the_parent_and_do_not_pass():
    program = """
        import os, signal
        for target in (-1, 0, 1, os.getppid()):
            for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
                attempt(lambda: os.kill(target, number))
        print("1")
    """
    verdict = grade(PROBE + textwrap.dedent(program), [{"input": "", "output": "2"}], limits=PATIENT)
    assert verdict.passed is not True


def test_links_lead_nowhere_and_usr_is_read_only():
    marker = Path(sandbox_record().python).parent / "sophistry-marker"
    seen = answers("""
        import os
        os.symlink("/usr/bin", "/tmp/out")
        os.symlink("/proc/1/root", "/tmp/up")
        print(json.dumps({
            "through a link": attempt(lambda: open("/tmp/out/sophistry-marker", "w")),
            "directly": attempt(lambda: open("/usr/bin/sophistry-marker", "w")),
            "the interpreter": attempt(lambda: open(__import__("sys").executable, "r+b")),
            "up": attempt(lambda: sorted(os.listdir("/tmp/up"))),
        }))
    """)
    assert not marker.exists()
    assert {seen["through a link"], seen["directly"], seen["the interpreter"]} <= {
        "OSError",
        "PermissionError",
    }
    assert seen["up"] == "PermissionError" or "etc" not in seen["up"]


# Cross-talk


def test_forty_sandboxes_side_by_side_give_forty_honest_verdicts():
    tests = [[{"input": f"{i}\n", "output": str(i)}] for i in range(40)]
    programs = [f"print(input())  # {i}" for i in range(40)]
    with ThreadPoolExecutor(40) as pool:
        verdicts = list(pool.map(lambda job: grade(*job, limits=PATIENT), zip(programs, tests, strict=True)))
    assert [verdict.results[0].status for verdict in verdicts] == ["ok"] * 40


def test_fork_bomb_beside_honest_programs_leaves_their_verdicts_alone():
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    threads = "import threading\nt = threading.Thread(target=print, args=(1,))\nt.start()\nt.join()\n"
    with ThreadPoolExecutor(1) as pool:
        burning = pool.submit(run_program, bomb, limits=Limits(cpu_seconds=1, wall_seconds=3.0))
        verdicts = grade_many(
            [f"{threads}# {i}" for i in range(10)],
            [[{"input": "", "output": "1"}]] * 10,
            workers=4,
            progress=False,
            limits=PATIENT,
        )
        assert burning.result().status == "timeout"
    assert [verdict.passed for verdict in verdicts] == [True] * 10


def test_one_test_never_sees_what_another_left():
    program = """
        import ctypes, os
        libc = ctypes.CDLL(None)
        old = []
        for path in ("/tmp/state", "/dev/shm/state", "/var/tmp/state"):
            old.append(os.path.exists(path))
            attempt(lambda: open(path, "w").write("x"))
        old.append(libc.shmget(77, 0, 0) >= 0)
        libc.shmget(77, 4096, 0o1666)
        old.append(len(os.listdir("/proc/self/fd")) > 4)
        old.append(os.getpriority(os.PRIO_PROCESS, os.getppid()) != os.getpriority(os.PRIO_PROCESS, 0))
        attempt(lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19))
        old.append("STATE" in os.environ)
        os.environ["STATE"] = "x"
        print("seen" if any(old) else "fresh")
    """
    tests = [{"input": f"{i}", "output": "fresh"} for i in range(3)]
    assert grade(PROBE + textwrap.dedent(program), tests, limits=PATIENT).passed is True


def test_no_installed_package_and_no_source_of_ours_is_visible():
    program = """
        import os, sys
        found = [os.path.join(d, f) for t in ("/usr/lib/python3", "/usr/local", "/opt")
                 for d, _, fs in os.walk(t) for f in fs]
        shown = [f for f in found if "/site-packages/" in f or "/dist-packages/" in f]
        ours = [f for f in found if "minicode" in f or f.endswith(("number_operations.py", "comparator.py"))]
        print(len(found) > 100, len(shown), len(ours))
    """
    assert run(textwrap.dedent(program)).stdout.split() == ["True", "0", "0"]


@pytest.mark.parametrize(
    "at", ["lib/python3.11/site-packages", "lib/python3.12/dist-packages", "lib/proj/src", "lib"]
)
def test_the_library_is_hidden_wherever_it_is_installed(at, tmp_path):
    python = tmp_path / "bin" / "python3"
    library = tmp_path / at
    (library / "tasks").mkdir(parents=True)
    (library / "os.py").touch() if at == "lib" else None
    hidden = hidden_folders(str(python), library)
    assert f"/opt/python/{at}" + ("/tasks" if at == "lib" else "") in hidden


@pytest.fixture
def under_usr():
    """A folder that every sandbox shows, as people have who install below /usr."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="sophistry-test-", dir="/usr/local"))
    except OSError:
        pytest.skip("/usr/local cannot be written")
    folder.chmod(0o755)
    bubblewrap._package_folders.cache_clear()
    yield folder
    shutil.rmtree(folder)
    bubblewrap._package_folders.cache_clear()


@pytest.mark.parametrize(
    "library", ["src/app", "env/lib/python3.11/site-packages", "deep/er/env/lib/python3/dist-packages"]
)
def test_no_program_reads_the_library_or_a_package_wherever_it_lies(library, under_usr, monkeypatch):
    for place in (library, "other/env/lib/python3.9/site-packages", "tool/dist-packages"):
        source = under_usr / place / "tasks" / "answers.py"
        source.parent.mkdir(parents=True)
        source.write_text("SECRET = 1")
    (under_usr / "plain.txt").write_text("plain")
    monkeypatch.setattr(bubblewrap, "_LIBRARY", under_usr / library)
    program = f"""
        import os
        found = sorted(f for d, _, fs in os.walk({str(under_usr)!r}) for f in fs)
        print(found)
        for path in {[str(under_usr / library), str(under_usr / "tool/dist-packages")]}:
            try:
                open(path + "/tasks/answers.py")
                print("read")
            except OSError:
                pass
    """
    assert run(textwrap.dedent(program)).stdout == "['plain.txt']\n"


def test_generators_and_graders_of_this_library_cannot_be_imported_or_found():
    program = """
        import importlib, os, sys
        for name in ("tasks", "tasks.minicode", "tasks.grading", "organisms", "numpy", "torch"):
            try:
                importlib.import_module(name)
                print(name)
            except ImportError:
                pass
        for top in sorted({"/usr", "/opt", "/lib", "/lib64", *sys.path}):
            for folder, _, files in os.walk(top):
                if folder.endswith(("-packages", "/minicode", "/organisms")) and files:
                    print(folder)
    """
    result = run(textwrap.dedent(program), cpu_seconds=60)
    assert (result.status, result.stdout) == ("ok", "")


def test_only_the_libraries_of_an_interpreter_outside_usr_are_shown():
    options = (
        sandbox_options(python="/else/bin/python3", tmp_bytes=1, status=3, seccomp=None).decode().split("\0")
    )
    shown = [options[i + 1] for i, word in enumerate(options) if word.startswith("--ro-bind")]
    assert not {"/else", "/"} & set(shown)
