"""A process of its own for each candidate, in namespaces of its own: forked from a server that has Python loaded.

The server stands behind the outer wall (walls.py) with two capabilities of its user namespace, SYS_ADMIN to make
namespaces and SETPCAP to give the capabilities away. Each cell has a first process, which nobody inside can kill or
trace and with which everything in the cell ends, and the candidate below it, without a capability.
"""

import ctypes
import os
import platform
import resource

from . import filter as calls

_NEW = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000  # CLONE_NEWNS, _NEWUTS, _NEWIPC, _NEWPID (sched.h)
_SIGCHLD = 17
_KEYCTL, _JOIN_SESSION_KEYRING = {"x86_64": 250, "aarch64": 219}, 1  # keyctl.h; a kernel without keys says ENOSYS
_CLONE = {"x86_64": 56, "aarch64": 220}
_NOSUID_NODEV = 2 | 4
_PRIVATE = 0x40000 | 0x4000  # MS_PRIVATE, MS_REC
_DUMPABLE, _CAP_READ, _CAP_DROP, _NO_NEW_PRIVS, _AMBIENT = 4, 23, 24, 38, 47  # prctl.h
_CAPABILITY_VERSION = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)
# What the bounding set holds, which can only lose from here on: asked once, not by each cell.
_BOUNDING = [number for number in range(64) if _libc.prctl(_CAP_READ, number, 0, 0, 0) == 1]


def settle() -> None:
    """In the server: a session keyring of its own, so that no cell has the supervisor's."""
    _libc.syscall(ctypes.c_long(_KEYCTL[platform.machine()]), ctypes.c_long(_JOIN_SESSION_KEYRING), None)


def enter() -> int:
    """Clone this process into new mount, UTS, IPC and PID namespaces: 0 in the new one, its pid here. OSError."""
    pid = _libc.syscall(ctypes.c_long(_CLONE[platform.machine()]), ctypes.c_long(_NEW | _SIGCHLD), 0, 0, 0, 0)
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone")
    return int(pid)


def close_up(tmp_mb: int) -> None:
    """In the new process: a host name, an empty /tmp and /dev/shm, then no capability for it and all that it starts."""
    _check(_libc.sethostname(b"sandbox", 7), "sethostname")
    _check(_libc.mount(None, b"/", None, _PRIVATE, None), "mount private")
    options = f"mode=1777,size={tmp_mb}m,nr_inodes=4k".encode()
    for folder in (b"/tmp", b"/dev/shm"):
        _check(_libc.mount(b"tmp", folder, b"tmpfs", _NOSUID_NODEV, options), "mount")
    os.chdir("/tmp")
    for capability in _BOUNDING:
        _check(_libc.prctl(_CAP_DROP, capability, 0, 0, 0), "drop capability")
    _check(_libc.prctl(_AMBIENT, 4, 0, 0, 0), "clear ambient capabilities")
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _check(_libc.prctl(_DUMPABLE, 0, 0, 0, 0), "prctl")


def forbid() -> None:
    """In the candidate's process, in a cell or not: no new privilege, no system call that a program has no use for."""
    _check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    calls.install(_libc)


def limit(cpu_s: int, memory_mb: int, processes: int, file_mb: int) -> None:
    """Lower this process's limits; no process without privileges raises them again."""
    for what, most in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_FSIZE, file_mb << 20),
        (resource.RLIMIT_NOFILE, 128),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        resource.setrlimit(what, (most, most))


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)
