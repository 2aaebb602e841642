"""Clients of redis-py for one server, for sentinels and for clusters.

redis-py repeats a command ten times by default, and waits 5 s for each answer. A request has 5 ms
for all of it, so nothing is repeated here.
"""

from typing import TYPE_CHECKING, Any

from gateway.config.redis_url import RedisTarget

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster
    from redis.asyncio.sentinel import Sentinel

CONNECTIONS = 4
"""The most connections to a server; further reads wait for one."""

_SOCKET_SECONDS = 1.0
_NAME = "rerank-gateway"


def common_settings(target: RedisTarget) -> dict[str, Any]:
    """Return the settings of every connection to the servers of a target."""
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return {
        "username": target.username or None,
        "password": target.password or None,
        "client_name": _NAME,
        "protocol": 3,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": _SOCKET_SECONDS,
        "socket_connect_timeout": _SOCKET_SECONDS,
    }


def _tls_settings(target: RedisTarget) -> dict[str, Any]:
    return {name: value for name, value in target.options.items() if name.startswith("ssl_")}


def single_client(target: RedisTarget) -> "Redis":
    """Return a client of one server."""
    from redis.asyncio import (
        BlockingConnectionPool,
        Connection,
        Redis,
        SSLConnection,
        UnixDomainSocketConnection,
    )

    settings = common_settings(target) | {"db": target.database}
    if target.path:
        settings.pop("socket_connect_timeout")
        settings |= {"connection_class": UnixDomainSocketConnection, "path": target.path}
    else:
        ((host, port),) = target.nodes
        kind = SSLConnection if target.tls else Connection
        settings |= {"connection_class": kind, "host": host, "port": port}
    pool = BlockingConnectionPool(
        max_connections=CONNECTIONS, timeout=_SOCKET_SECONDS, **settings, **_tls_settings(target)
    )
    return Redis.from_pool(pool)


def sentinels_of(target: RedisTarget) -> "Sentinel":
    """Return the sentinels of a target."""
    from redis.asyncio.sentinel import Sentinel

    settings = common_settings(target)
    if target.tls:
        settings |= {"ssl": True, **_tls_settings(target)}
    user = {
        "username": target.options.get("sentinel_username"),
        "password": target.options.get("sentinel_password"),
    }
    make: Any = Sentinel  # redis-py gives it no types
    sentinels: Sentinel = make(target.nodes, sentinel_kwargs=settings | user, **settings)
    return sentinels


def cluster_client(target: RedisTarget) -> "RedisCluster":
    """Return a client of a cluster; it finds the other nodes at its first command."""
    from redis.asyncio import RedisCluster
    from redis.asyncio.cluster import ClusterNode

    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in target.nodes],
        require_full_coverage=False,
        max_connections=CONNECTIONS,
        ssl=target.tls,
        **common_settings(target),
        **_tls_settings(target),
    )
