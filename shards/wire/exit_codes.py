"""Exit codes of a shard. Part of the contract between shard and supervisor.

The numbers follow sysexits.h where it has a name for the case. A *permanent* code means that the
next start would end the same way: the supervisor does not restart the shard, it waits for an
operator.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes that a shard chooses itself; any other end is a crash."""

    STOPPED = 0  # as requested
    CANARY = 65  # EX_DATAERR: known pairs have wrong scores
    MODEL = 66  # EX_NOINPUT: the model is missing, broken or not a reranker
    DEVICE = 70  # EX_SOFTWARE: the device is in a state only a new process can leave
    INTERNAL = 71  # EX_OSERR: a bug in the shard's own loop
    TEMPORARY = 75  # EX_TEMPFAIL: try again later (device memory still taken)
    SPEC = 78  # EX_CONFIG: this spec can never work


PERMANENT = frozenset({ExitCode.CANARY, ExitCode.MODEL, ExitCode.SPEC})
