"""Takes from this process the right to start others: a fork bomb in a step is refused by the kernel, threads are not.

A seccomp filter (`seccomp(2)`), which cannot be taken off again. A limit on processes would not do: the kernel does not
hold the superuser to it.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF: ld word, jeq, jset, ret
_CLONE_THREAD = 0x00010000
_NUMBER_AT, _ARCHITECTURE_AT, _FLAGS_AT = (
    0,
    4,
    16,
)  # offsets in struct seccomp_data; the flags are clone's first argument

# machine: (audit number of the architecture, clone, clone3, others that only start processes)
_SYSTEM_CALLS = {"x86_64": (0xC000003E, 56, 435, (57, 58)), "aarch64": (0xC00000B7, 220, 435, ())}


def refuse_processes() -> bool:
    """From now on fork and its kin fail with EAGAIN here and in all threads; False where that cannot be had."""
    calls = _SYSTEM_CALLS.get(platform.machine())
    if sys.platform != "linux" or calls is None:
        return False
    architecture, clone, clone3, others = calls
    program = _program(architecture, clone, clone3, others)
    code = ctypes.create_string_buffer(b"".join(program), 8 * len(program))
    libc = ctypes.CDLL(None, use_errno=True)
    filter_ = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    allowed = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    return bool(allowed and libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, filter_, 0, 0) == 0)


def fork_once() -> None:
    """What a fork bomb does first; for showing that it is refused.

    Raises:
        BlockingIOError: the kernel has refused, as `refuse_processes` asked for.
        ProcessLookupError: it has not, and there was a child, which ended at once.
    """
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    raise ProcessLookupError("this process could fork")


def _program(architecture: int, clone: int, clone3: int, others: tuple[int, ...]) -> list[bytes]:
    """Threads may be made, processes not. The C library falls back from clone3, whose flags a filter cannot see."""
    refuse = [_step(_RETURN, _ERRNO | errno.EAGAIN)]
    program = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _ALLOW),
        _step(_LOAD, _NUMBER_AT),
        _step(_EQUAL, clone3, 0, 1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for number in others:
        program += [_step(_EQUAL, number, 0, 1), *refuse]
    return [
        *program,
        _step(_EQUAL, clone, 1, 0),
        _step(_RETURN, _ALLOW),
        _step(_LOAD, _FLAGS_AT),
        _step(_ANY_BIT, _CLONE_THREAD, 0, 1),
        _step(_RETURN, _ALLOW),
        *refuse,
    ]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
