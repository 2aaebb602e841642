"""What a shard is to the machine: a child that ends with its gateway, and the first to be ended.

When memory runs out, the kernel should take a shard, which is started again, and not the gateway,
which is not. So a shard raises its own score for that choice; raising it needs no privilege.
"""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

from shards.wire.exit_codes import ExitCode

_PR_SET_PDEATHSIG = 1
OOM_SCORE_ADJ = 500
"""Added to the thousandths of the machine's memory that the process takes; proc(5)."""


def belong_to(gateway_pid: int) -> None:
    """Arrange to die with the gateway, or before it; Ctrl-C is the gateway's business."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        with contextlib.suppress(OSError):  # /proc may be read-only: then they are equals
            Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJ), encoding="ascii")
    if os.getppid() != gateway_pid:  # it died before the signal was armed
        os._exit(ExitCode.STOPPED)
