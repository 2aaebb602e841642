"""The number of connections that the limit of open files allows.

Pipes to shards, process handles, logs and configuration files need descriptors even while every
connection is in use, so some descriptors are reserved: 256, or two thirds of a low limit. An idle
gateway with one model uses 21.
"""

import resource

RESERVE = 256
"""Descriptors for everything except connections, and for connections that are being closed."""


def room_for_connections(wanted: int) -> int:
    """Raise this process's limit of open files if needed; return how many connections fit."""
    needed = wanted + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, max(soft - RESERVE, soft // 3)))
