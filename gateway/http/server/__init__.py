"""The HTTP server: uvicorn's, with limits on clients before, between and after requests.

head.py        checks of a request's head: sizes, framing, hosts; pure
refusal.py     an error as a whole HTTP reply, for a request that never reaches the app; pure
phases.py      the phases of a connection and their timeouts; pure
half_closed.py clients that have closed their side, and wait for a reply or have gone
watch.py       all connections together: their limits, and the timer that checks their timeouts
protocol.py    one connection: a subclass of uvicorn's, with phases and timeouts
descriptors.py the number of connections that the limit of open files allows
server.py      uvicorn's server, with a shutdown that slow clients cannot delay
"""

from gateway.http.server.descriptors import room_for_connections
from gateway.http.server.head import AllowedHosts
from gateway.http.server.protocol import HttpGuard
from gateway.http.server.server import GuardedServer
from gateway.http.server.watch import Watch

__all__ = ["AllowedHosts", "GuardedServer", "HttpGuard", "Watch", "room_for_connections"]
