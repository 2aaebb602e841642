"""Starts a shard process and hands it its end of a pipe.

The process is spawned, never forked: a fork would inherit the event loop, and CUDA does not survive
one. Only from the main thread: on Linux the parent-death signal is tied to the *thread* that
spawned, and a shard whose spawning thread ended would be killed with it.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import multiprocess
from multiprocess.reduction import DupFd

from shards.wire import entry
from shards.wire.pipe import GatewayEnd
from shards.wire.spec import ShardSpec


class Child:
    """A running shard process.

    Attributes:
        pid: its process id.
        exit_fd: becomes readable when the process has ended.
    """

    def __init__(self, process: Any) -> None:
        self._process = process
        self.pid: int = process.pid
        has_pidfd = hasattr(os, "pidfd_open")
        self.exit_fd = os.pidfd_open(self.pid) if has_pidfd else os.dup(process.sentinel)

    def kill(self) -> None:
        """End the process at once; harmless when it has ended already."""
        self._process.kill()

    def abort(self) -> None:
        """Ask the process to write all its stacks to stderr and end; see faulthandler."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGABRT)

    def is_stopped(self) -> bool:
        """Whether somebody has stopped the process (SIGSTOP); false where it cannot be told."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_bytes()
        except OSError:
            return False
        return stat.rpartition(b") ")[2].startswith((b"T", b"t"))

    def reap(self) -> int:
        """Return the exit code (negative: minus the signal). Call after `exit_fd` was readable.

        What the shard had started and left behind ends here too: it leads its own process group.
        """
        with contextlib.suppress(ProcessLookupError):  # nothing is left, or it never came so far
            os.killpg(self.pid, signal.SIGKILL)
        self._process.join()
        code: int = self._process.exitcode
        self._process.close()
        os.close(self.exit_fd)
        return code

    def memory_bytes(self) -> int:
        """Resident memory; 0 where it cannot be told."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


class _Inherited:
    """A descriptor that the spawned process gets under the number it has here."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Callable[..., int], tuple[int]]:
        return int, (DupFd(self._fd).detach(),)


def spawn(spec: ShardSpec, pipe: GatewayEnd) -> Child:
    """Start the shard that `spec` describes.

    Raises:
        OSError: the machine has no process, memory or descriptor left for it.
    """
    context = multiprocess.get_context("spawn")
    descriptors = [_Inherited(fd) for fd in pipe.shard_descriptors]
    process = context.Process(
        target=entry.run,
        args=(spec, *descriptors, os.getpid()),
        name=spec.name,
        daemon=True,
    )
    process.start()
    pipe.handed_over()
    try:
        return Child(process)
    except OSError:  # no descriptor left to watch it by
        process.kill()
        process.join()
        process.close()
        raise


def spawn_verification(spec: ShardSpec, fd: int, pairs: int) -> Any:
    """Start the process that examines what `spec` describes on so many pairs; it writes to `fd`."""
    process = multiprocess.get_context("spawn").Process(
        target=entry.verify,
        args=(spec, _Inherited(fd), pairs, os.getpid()),
        name=f"verify {spec.model}",
        daemon=True,
    )
    process.start()
    return process
