"""A seccomp filter for every process that a candidate's code can run in: one list of system calls that no program of a
benchmark, and no compiler of one, has a use for. Each fails with EPERM; a call newer than the list as if unknown.

It denies what Docker's default profile denies to a container without capabilities, and besides: tracing, chroot,
file locks (a lock on a library is felt outside), handles, and every socket but those of Unix and IPv4. A second wall
behind namespaces and lost capabilities, and the only one before keyrings, vsock and the kernel's younger parts.
Docker: github.com/moby/profiles, seccomp/default.json. Numbers: asm/unistd_64.h (x86_64) and asm-generic/unistd.h
(aarch64) of Linux; format: linux/seccomp.h, linux/filter.h.
"""

import ctypes
import platform
from typing import Any

MACHINES = ("x86_64", "aarch64")
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_* of linux/audit.h
# By name the numbers on x86_64 and aarch64, one where they are the same, 0 where there is none.
FORBIDDEN: dict[str, tuple[int, ...]] = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438,), "process_madvise": (440,),
    # keyrings
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428,),
    "move_mount": (429,), "fsopen": (430,), "fsconfig": (431,), "fsmount": (432,), "fspick": (433,),
    "mount_setattr": (442,), "unshare": (272, 97), "setns": (308, 268),
    # files by other ways than their names, quotas, locks
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "lookup_dcookie": (212, 18),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "quotactl": (179, 60), "quotactl_fd": (443,),
    "acct": (163, 89), "sysfs": (139, 0), "ustat": (136, 0), "flock": (73, 32),
    # large parts of the kernel
    "io_uring_setup": (425,), "io_uring_enter": (426,), "io_uring_register": (427,), "userfaultfd": (323, 282),
    "bpf": (321, 280), "perf_event_open": (298, 241), "memfd_secret": (447,), "modify_ldt": (154, 0),
    "personality": (135, 92), "uselib": (134, 0), "_sysctl": (156, 0), "nfsservctl": (180, 42),
    # memory policies
    "mbind": (237, 235), "set_mempolicy": (238, 237), "get_mempolicy": (239, 236), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "set_mempolicy_home_node": (450,),
    # the machine
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "create_module": (174, 0),
    "query_module": (178, 0), "get_kernel_syms": (177, 0), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "syslog": (103, 116), "vhangup": (153, 58),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, 0), "ioperm": (173, 0),
}  # fmt: skip
LAST = 451  # cachestat of Linux 6.5: statmount, listmount, the keys of memory and what follows are unknown
_CLONE, _CLONE3 = (56, 220), 435
_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_FCNTL = (72, 25)
_IOCTL = (16, 29)
_NEW = 0x7E020080  # CLONE_NEW*, of time (0x80) too
_FAMILIES = (1, 2)  # AF_UNIX, AF_INET
_LOCKS = (6, 7, 37, 38, 1024)  # F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW, F_SETLEASE
_TERMINAL = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_LOAD, _EQUAL, _ABOVE, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06  # classic BPF
_X32 = 0x40000000  # a bit of the numbers of x86_64's second, 32-bit, table
_ALLOW, _EPERM, _ENOSYS, _NO_FAMILY = 0x7FFF0000, 0x00050001, 0x00050026, 0x00050061
_SECCOMP, _FILTER = 22, 2  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
Step = tuple[int, int, int, int]  # code, jump if so, jump if not, value


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("yes", ctypes.c_uint8),
        ("no", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("start", ctypes.POINTER(_Instruction)))


def steps(machine: str) -> list[Step]:
    """The filter's program: calls of another architecture and forbidden ones get EPERM; clone3, whose flags cannot be
    read, and what is newer than the list are as if unknown."""
    which = MACHINES.index(machine)
    found: list[Step] = [
        (_LOAD, 0, 0, 4),  # seccomp_data.arch
        (_EQUAL, 1, 0, _ARCHITECTURE[machine]),
        (_RETURN, 0, 0, _EPERM),
        (_LOAD, 0, 0, 0),  # seccomp_data.nr
        (_ANY_BIT, 0, 1, _X32),
        (_RETURN, 0, 0, _EPERM),
        (_ABOVE, 1, 0, LAST),
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ENOSYS),
    ]
    for numbers in FORBIDDEN.values():
        if number := numbers[which % len(numbers)]:
            found += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _EPERM)]
    found += _argument(_CLONE[which], 0, [(_ANY_BIT, 0, 1, _NEW), (_RETURN, 0, 0, _EPERM)])
    for call in (_SOCKET[which], _SOCKETPAIR[which]):
        allowed = [step for family in _FAMILIES for step in ((_EQUAL, 0, 1, family), (_RETURN, 0, 0, _ALLOW))]
        found += _argument(call, 0, [*allowed, (_RETURN, 0, 0, _NO_FAMILY)])
    for call, values in ((_FCNTL[which], _LOCKS), (_IOCTL[which], _TERMINAL)):
        found += _argument(call, 1, [s for value in values for s in ((_EQUAL, 0, 1, value), (_RETURN, 0, 0, _EPERM))])
    return [*found, (_RETURN, 0, 0, _ALLOW)]


def _argument(call: int, number: int, then: list[Step]) -> list[Step]:
    """For one call, with the low half of an argument loaded; what it does not decide is allowed."""
    block: list[Step] = [(_LOAD, 0, 0, 16 + 8 * number), *then, (_RETURN, 0, 0, _ALLOW)]
    return [(_EQUAL, 0, len(block), call), *block]


def _build(machine: str) -> _Program:
    program = steps(machine)
    return _Program(len(program), (_Instruction * len(program))(*(_Instruction(*step) for step in program)))


_program = _build(platform.machine()) if platform.machine() in MACHINES else None


def install(libc: Any) -> None:
    """For this process and all that it starts, for good; needs no_new_privs. OSError."""
    if _program is not None and libc.prctl(_SECCOMP, _FILTER, ctypes.byref(_program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
