"""How many connections the limit of open files has room for.

Everything that is not a connection (pipes to shards, process handles, logs, configuration files)
must still find a descriptor when every connection is taken: some are kept back.
"""

import resource

RESERVE = 256
"""Descriptors for everything that is not a connection, and for connections on their way out."""


def room_for_connections(wanted: int) -> int:
    """Raise this process's limit of open files if need be; return how many connections fit."""
    needed = wanted + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - RESERVE))
