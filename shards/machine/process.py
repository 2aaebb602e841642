"""The shard process as the kernel and the C library see it: its end, its memory and its nodes.

End: a shard dies with its gateway. When memory runs out, the kernel should kill a shard, which is
started again, and not the gateway, which is not. So a shard raises its own score for that choice;
raising it needs no privilege.

Nodes: a page lies on the node of the core that first writes it, as long as that node has room. But
a model's file may already lie in the page cache of another node, and a full node makes the kernel
take another one in silence. So a pinned shard asks for its own nodes by set_mempolicy(2). It
prefers them and does not insist: with MPOL_BIND a full node would end the shard while the machine
has memory left.

Freed memory: the C library returns large pieces to the kernel at once, which clears each page again
before it lends the page for the next layer. On virtual machines that took longer than to read and
pack the layer. So freed memory is kept while a model loads, and returned afterwards.
"""

import contextlib
import ctypes
import gc
import os
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shards.wire.exit_codes import ExitCode

OOM_SCORE_ADJ = 500
"""Added to the thousandths of the machine's memory that the process takes; proc(5)."""

_PR_SET_PDEATHSIG = 1
_SET_MEMPOLICY = {"x86_64": 238, "aarch64": 237}
_PREFERRED, _PREFERRED_MANY = 1, 5  # the second since Linux 5.15
_MOST_NODES = 1024
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, see its manual page
_LOADING_BOUND = 1 << 30  # bytes: no piece of a layer is larger
_USUAL_BOUND = 32 << 20  # where the library's own bound ends up after large pieces were freed


def belong_to(gateway_pid: int) -> None:
    """Arrange to die with the gateway or before it; Ctrl-C is left to the gateway."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        with contextlib.suppress(OSError):  # /proc may be read-only: then both have equal scores
            Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJ), encoding="ascii")
    if os.getppid() != gateway_pid:  # the gateway died before the signal was armed
        os._exit(ExitCode.STOPPED)


def prefer_memory_of(nodes: Sequence[int]) -> str:
    """Take memory from these nodes while they have some; return the obstacle, empty for none."""
    call = _SET_MEMPOLICY.get(platform.machine())
    if call is None or platform.system() != "Linux":
        return f"no memory policy on {platform.system()} {platform.machine()}"
    if max(nodes) >= _MOST_NODES:
        return f"memory node {max(nodes)} is beyond the {_MOST_NODES} supported nodes"
    mask = (ctypes.c_ulong * (_MOST_NODES // 64))()
    for node in nodes:
        mask[node // 64] |= 1 << (node % 64)
    libc = ctypes.CDLL(None, use_errno=True)
    policy = _PREFERRED if len(nodes) == 1 else _PREFERRED_MANY
    if libc.syscall(call, policy, ctypes.byref(mask), ctypes.c_ulong(_MOST_NODES + 1)) == 0:
        return ""
    return f"set_mempolicy: {ctypes.get_errno()} for nodes {', '.join(map(str, nodes))}"


@contextlib.contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Reuse freed memory while the block runs; return free memory to the kernel after it."""
    _set_bounds(_LOADING_BOUND)
    try:
        yield
    finally:
        _set_bounds(_USUAL_BOUND)
        give_back_memory()


def give_back_memory() -> None:
    """Return the memory of dropped objects to the kernel, where the C library keeps it."""
    gc.collect()
    if trim := _glibc("malloc_trim"):
        trim(0)


def _set_bounds(size: int) -> None:
    if set_option := _glibc("mallopt"):
        set_option(_MMAP_THRESHOLD, size)
        set_option(_TRIM_THRESHOLD, 2 * size - 1)


def _glibc(name: str) -> Any:
    """Return a function of glibc; `None` elsewhere: musl has no such options."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
