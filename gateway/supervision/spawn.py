"""Start of a shard process, which inherits its end of a pipe.

The process is spawned, never forked: a fork would inherit the event loop, and CUDA does not survive
one. A thread that spawns outlives its shards: on Linux the parent-death signal is tied to the
*thread* that spawned, and a shard whose spawning thread ended would be killed with it.

A shard never imports the main module of its parent: that may be a script without a guard, which
would begin anew in the shard.
"""

import contextlib
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import multiprocess
import multiprocess.process
import multiprocess.spawn
from multiprocess.reduction import DupFd

from shards import entry
from shards.wire.pipe import GatewayEnd
from shards.wire.spec import ShardSpec

_ENDED = "Z (zombie)"
_spawning = threading.Lock()


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
        """Kill the process; harmless after its end."""
        self._process.kill()

    def abort(self) -> None:
        """Ask the process to write all its stacks to stderr and end; see faulthandler."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGABRT)

    def is_stopped(self) -> bool:
        """Return whether a SIGSTOP has stopped the process; false where that is unknown."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_bytes()
        except OSError:
            return False
        return stat.rpartition(b") ")[2].startswith((b"T", b"t"))

    def has_ended(self) -> bool:
        """Return whether `exit_fd` is readable."""
        poll = select.poll()
        poll.register(self.exit_fd, select.POLLIN)
        return bool(poll.poll(0))

    def states(self) -> str:
        """Return the states of its threads in the kernel's words; empty where they are unknown."""
        found = set()
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{self.pid}/task").glob("*/status"):
                words = file.read_text(errors="replace").partition("\nState:")[2]
                found.add(words.partition("\n")[0].strip())
        return ", ".join(sorted(found - {_ENDED}))

    def reap(self) -> int:
        """Return the exit code (negative: minus the signal). Call after `exit_fd` was readable.

        Processes that the shard had started and left behind end too: it leads its own group.
        """
        self._end_group()
        self._process.join()
        code: int = self._process.exitcode
        self._process.close()
        os.close(self.exit_fd)
        return code

    def leave(self) -> None:
        """Leave a process that cannot be ended. The next spawn after its end reaps it; a gateway
        that exits before that does so by `leave_now`."""
        self._end_group()
        os.close(self.exit_fd)

    def _end_group(self) -> None:
        with contextlib.suppress(
            ProcessLookupError
        ):  # no process is left, or it never made its group
            os.killpg(self.pid, signal.SIGKILL)

    def memory_bytes(self) -> int:
        """Return the resident memory; 0 where it is unknown."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def peak_bytes(self) -> int:
        """Return the most resident memory that it ever had; 0 where it is unknown."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return 0
        found = status.partition("\nVmHWM:")[2].split(maxsplit=1)
        return 1024 * int(found[0]) if found else 0


class _Inherited:
    """A descriptor for the spawned process, which gets a duplicate."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Callable[..., int], tuple[int]]:
        return int, (DupFd(self._fd).detach(),)


def spawn(spec: ShardSpec, pipe: GatewayEnd) -> Child:
    """Start the shard that `spec` describes.

    Raises:
        OSError: the machine has no process, memory or descriptor left for it.
    """
    _leave_deleted_folder()
    context = multiprocess.get_context("spawn")
    descriptors = [_Inherited(fd) for fd in pipe.shard_descriptors]
    process = context.Process(
        target=entry.run,
        args=(spec, *descriptors, os.getpid()),
        name=spec.name,
        daemon=True,
    )
    with _without_main_module(spec.name):
        process.start()
    pipe.handed_over()
    try:
        return Child(process)
    except OSError:  # no descriptor left to watch it by
        process.kill()
        process.join()
        process.close()
        raise


def _forget_shards() -> None:
    """Have no shards in a forked process: its exit would end those of its parent."""
    multiprocess.process._children.clear()


os.register_at_fork(after_in_child=_forget_shards)


@contextlib.contextmanager
def _without_main_module(name: str) -> Iterator[None]:
    """Have a process of this name spawned without the main module of this one."""
    with _spawning:
        described = multiprocess.spawn.get_preparation_data

        def without_main(process: str) -> dict[str, Any]:
            found: dict[str, Any] = described(process)
            if process == name:
                for key in ("init_main_from_name", "init_main_from_path"):
                    found.pop(key, None)
            return found

        multiprocess.spawn.get_preparation_data = without_main
        try:
            yield
        finally:
            multiprocess.spawn.get_preparation_data = described


def _leave_deleted_folder() -> None:
    """Change to `/` if the working directory was deleted: a spawn passes it on, and would fail."""
    try:
        Path.cwd()
    except FileNotFoundError:
        os.chdir("/")


def leave_now(code: int) -> NoReturn:
    """End this process with an exit code; Python's own exit would wait for a stuck shard."""
    if not multiprocess.active_children():
        raise SystemExit(code)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def kill_shards() -> None:
    """Kill all shards, with the processes that they have started, and do not wait for their end."""
    for process in multiprocess.active_children():
        with contextlib.suppress(ProcessLookupError, ValueError):  # it has ended meanwhile
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(ValueError):
            process.kill()


def spawn_verification(spec: ShardSpec, fd: int, pairs: int, unquantised: str) -> Any:
    """Start the process that verifies the model of `spec` on so many pairs; it writes to `fd`."""
    process = multiprocess.get_context("spawn").Process(
        target=entry.verify,
        args=(spec, _Inherited(fd), pairs, unquantised, os.getpid()),
        name=f"verify {spec.model}",
        daemon=True,
    )
    process.start()
    return process
