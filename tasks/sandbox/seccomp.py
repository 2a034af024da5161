"""A system-call filter for the sandbox: calls that no honest program needs are refused with EPERM.

It closes what namespaces and resource limits leave open: memory that no limit counts (System V segments,
memfd), kernel keyrings, tracing, and rarely used parts of the kernel that have been exploited before.
The filter is classic BPF (`man 2 seccomp`), written by hand because its only job is a list of numbers.
"""

import functools
import platform
import struct

__all__ = ["seccomp_filter"]

# Audit architecture and numbers of the same calls; the names are those of man 2 syscalls.
_X86_64 = (
    0xC000003E,
    {
        "shmget": 29, "shmat": 30, "semget": 64, "msgget": 68, "ptrace": 101, "syslog": 103,
        "uselib": 134, "personality": 135, "ustat": 136, "pivot_root": 155, "chroot": 161, "acct":
        163, "mount": 165, "umount2": 166, "swapon": 167, "quotactl": 179, "mq_open": 240,
        "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272,
        "perf_event_open": 298, "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at":
        304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "memfd_create": 319,
        "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426,
        "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430, "pidfd_getfd":
        438, "memfd_secret": 447,
    },
)  # fmt: skip
_AARCH64 = (
    0xC00000B7,
    {
        "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "quotactl": 60, "acct": 89,
        "personality": 92, "unshare": 97, "kexec_load": 104, "syslog": 116, "ptrace": 117,
        "mq_open": 180, "msgget": 186, "semget": 190, "shmget": 194, "shmat": 196, "add_key": 217,
        "request_key": 218, "keyctl": 219, "swapon": 224, "perf_event_open": 241, "fanotify_init":
        262, "name_to_handle_at": 264, "open_by_handle_at": 265, "setns": 268, "process_vm_readv":
        270, "process_vm_writev": 271, "memfd_create": 279, "bpf": 280, "userfaultfd": 282,
        "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
        "move_mount": 429, "fsopen": 430, "pidfd_getfd": 438, "memfd_secret": 447,
    },
)  # fmt: skip
_TABLES = {"x86_64": _X86_64, "aarch64": _AARCH64}

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF operations
_ALLOW, _KILL, _EPERM = 0x7FFF0000, 0x80000000, 0x00050001
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_X32 = 0x40000000  # on x86_64, numbers from here on are a second door to the same calls


@functools.cache
def seccomp_filter(machine: str | None = None) -> bytes | None:
    """The compiled filter for `bwrap --seccomp`; None where the machine's call numbers are not known here.

    >>> len(seccomp_filter("x86_64")) % 8
    0
    >>> seccomp_filter("vax") is None
    True
    """
    table = _TABLES.get(machine or platform.machine())
    if table is None:
        return None
    architecture, calls = table
    refused = sorted(calls.values())
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, len(refused) + 1, 0, _X32),  # jump to the refusal
        *((_EQUAL, len(refused) - i, 0, number) for i, number in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EPERM),
    ]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
