"""A seccomp filter of system calls that no program of a benchmark has a use for: each fails with EPERM.

A second wall behind namespaces and lost capabilities, and the only one before the kernel's keyrings, which belong to
no namespace that a cell makes anew: a key would outlive its program and be read by the next.
Numbers: asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64) of Linux; format: linux/seccomp.h, linux/filter.h.
"""

import ctypes
import platform
from typing import Any

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_* of linux/audit.h
_SHARED = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442)  # io_uring, the new mount calls, pidfd_getfd
_FORBIDDEN = {
    "x86_64": (
        *(101, 310, 311, 312),  # ptrace, process_vm_readv, process_vm_writev, kcmp
        *(248, 249, 250),  # add_key, request_key, keyctl
        *(155, 161, 165, 166, 272, 308),  # pivot_root, chroot, mount, umount2, unshare, setns
        *(303, 304, 298, 321, 323),  # name_to_handle_at, open_by_handle_at, perf_event_open, bpf, userfaultfd
        *(103, 163, 167, 168, 169, 175, 176, 179, 246, 313),  # syslog, acct, swap, reboot, modules, quotactl, kexec
        *_SHARED,
    ),
    "aarch64": (
        *(117, 270, 271, 272),
        *(217, 218, 219),
        *(41, 51, 40, 39, 97, 268),
        *(264, 265, 241, 280, 282),
        *(116, 89, 224, 225, 142, 105, 106, 60, 104, 273),
        *_SHARED,
    ),
}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_NEW_USER = 0x10000000  # CLONE_NEWUSER
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # classic BPF
_X32 = 0x40000000  # a bit of the numbers of x86_64's second, 32-bit, table
_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
_SECCOMP, _FILTER = 22, 2  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("yes", ctypes.c_uint8),
        ("no", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("start", ctypes.POINTER(_Instruction)))


def _build(machine: str) -> _Program:
    """Calls of another architecture and forbidden ones: EPERM; clone3, whose flags cannot be read: as if unknown."""
    steps = [
        (_LOAD, 0, 0, 4),  # seccomp_data.arch
        (_EQUAL, 1, 0, _ARCHITECTURE[machine]),
        (_RETURN, 0, 0, _EPERM),
        (_LOAD, 0, 0, 0),  # seccomp_data.nr
        (_ANY_BIT, 0, 1, _X32),
        (_RETURN, 0, 0, _EPERM),
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ENOSYS),
    ]
    for number in _FORBIDDEN[machine]:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _EPERM)]
    steps += [
        (_EQUAL, 0, 3, _CLONE[machine]),
        (_LOAD, 0, 0, 16),  # the low half of the first argument: flags
        (_ANY_BIT, 0, 1, _NEW_USER),
        (_RETURN, 0, 0, _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return _Program(len(steps), (_Instruction * len(steps))(*(_Instruction(*step) for step in steps)))


_program = _build(platform.machine()) if platform.machine() in _ARCHITECTURE else None


def install(libc: Any) -> None:
    """For this process and all that it starts, for good; needs no_new_privs. OSError."""
    if _program is not None and libc.prctl(_SECCOMP, _FILTER, ctypes.byref(_program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
