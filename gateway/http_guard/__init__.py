"""Stands between the network and the app: what a client may do before, between and after requests.

head.py        the first lines of a request: sizes, framing, hosts; pure
refusal.py     an error as a whole HTTP reply, for those whose request never reaches the app
phases.py      what a connection waits for, and for how long; pure
watch.py       all connections together: how many, from where, and a look at each clock
protocol.py    one connection: a subclass of uvicorn's, with phases and clocks
descriptors.py how many connections the limit of open files has room for
server.py      uvicorn's server, with an end that slow clients cannot delay
"""

from gateway.http_guard.descriptors import room_for_connections
from gateway.http_guard.head import AllowedHosts
from gateway.http_guard.protocol import HttpGuard
from gateway.http_guard.server import GuardedServer
from gateway.http_guard.watch import Watch

__all__ = ["AllowedHosts", "GuardedServer", "HttpGuard", "Watch", "room_for_connections"]
