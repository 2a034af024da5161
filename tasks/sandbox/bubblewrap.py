"""The bubblewrap command line: what a sandboxed program can see. Each option has been attacked in the tests.

Order matters: `--size` applies to the next `--tmpfs`, and the remounts come after everything is in place.
The options travel in a file (`--args`), because /proc/1/cmdline is readable inside.
"""

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ENVIRONMENT", "hidden_folders", "inside_python", "own_python", "sandbox_options"]

_SHM_BYTES = 1 << 20
_LIBRARY = Path(__file__).resolve().parents[2]
_OURS = (
    "activations",
    "backdoor",
    "experiments",
    "organisms",
    "probes",
    "rlhf",
    "sophistry",
    "study",
    "tasks",
)
_PACKAGES = ("site-packages", "dist-packages")
_INSIDE = "/opt/python"  # where an interpreter from outside /usr appears; its real path may name a person

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONUTF8": "1",
    "PYTHONHASHSEED": "0",  # the order of a set of strings must not decide a verdict
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""All that a program finds in its environment."""


def own_python() -> str:
    """The interpreter under any virtual environment: an experiment records its version anyway."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def inside_python(python: str) -> str:
    """Where an interpreter of the host is found inside the sandbox.

    >>> inside_python("/usr/bin/python3"), inside_python("/home/someone/conda/bin/python3.11")
    ('/usr/bin/python3', '/opt/python/bin/python3.11')
    """
    return python if python.startswith("/usr/") else f"{_INSIDE}/bin/{Path(python).name}"


def sandbox_options(*, python: str, tmp_bytes: int, status: int, seccomp: int | None) -> bytes:
    """Options for `bwrap --args`, separated by null bytes.

    Args:
        python: interpreter on the host; it and its libraries are shown read-only if it is not under /usr.
        tmp_bytes: size of /tmp, the only place where the program can write (beside 1 MB of /dev/shm).
        status: descriptor on which bubblewrap reports whether the program really ran.
        seccomp: descriptor of a compiled filter, or None.
    """
    options = ["--unshare-user", "--unshare-all", "--disable-userns", "--die-with-parent", "--new-session"]
    options += ["--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]
    options += ["--ro-bind", "/usr", "/usr", *_system_links()]
    if inside_python(python) != python:
        options += ["--ro-bind", python, inside_python(python)]
        for name in ("lib", "lib64"):  # not the whole prefix, which may be a home
            options += ["--ro-bind-try", str(_prefix(python) / name), f"{_INSIDE}/{name}"]
    for folder in hidden_folders(python):
        options += ["--tmpfs", folder, "--remount-ro", folder]
    options += ["--proc", "/proc", "--dev", "/dev"]
    options += ["--size", str(tmp_bytes), "--tmpfs", "/tmp", "--size", str(_SHM_BYTES), "--tmpfs", "/dev/shm"]
    options += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        options += ["--setenv", name, value]
    options += ["--json-status-fd", str(status)]
    if seccomp is not None:
        options += ["--seccomp", str(seccomp)]
    return b"\0".join(map(os.fsencode, options)) + b"\0"


def hidden_folders(python: str, library: Path | None = None) -> list[str]:
    """Folders inside the sandbox that are shown empty: interpreters' packages, and this library.

    Who can read how problems are made can print the answers. The interpreter runs with `-S`, so no program
    can import from these folders anyway.

    Args:
        python: interpreter on the host.
        library: the folder that holds the package `tasks`; None is this one's.
    """
    library = library or _LIBRARY
    seen = {Path(name): Path(name) for name in ("/usr", "/lib", "/lib64")}
    if inside_python(python) != python:
        seen |= {_prefix(python) / name: Path(_INSIDE, name) for name in ("lib", "lib64")}
    hidden = set()
    for host, inside in seen.items():
        if host.is_symlink() or not host.is_dir():  # a link leads to one of the others
            continue
        found = [*_package_folders(host)]
        homes = [library] if not (library / "os.py").exists() else [library / name for name in _OURS]
        found += [path for path in homes if path.is_relative_to(host) and path != host]
        hidden |= {
            str(inside / path.relative_to(host)) for path in found if path.is_dir() and not path.is_symlink()
        }
    return sorted(path for path in hidden if not any(path.startswith(f"{other}/") for other in hidden))


@functools.cache
def _package_folders(top: Path) -> tuple[Path, ...]:
    """Every folder of installed packages below, of whatever environment or program it is."""
    found, left = [], [top]
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        (found if entry.name in _PACKAGES else left).append(Path(entry.path))
        except OSError:  # not ours to read, so not the sandbox's either, or gone
            continue
    return tuple(found)


def _prefix(python: str) -> Path:
    return Path(python).parent.parent


def _system_links() -> Sequence[str]:
    """/lib, /lib64 and /bin: links into /usr on most systems, directories of their own on others."""
    options: list[str] = []
    for name in ("/lib", "/lib64", "/bin"):
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            options += ["--ro-bind", name, name]
    return options
