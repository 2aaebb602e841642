"""The server of `gateway serve`: the app under uvicorn, with watchdog, startup log and TLS."""

import contextlib
import gc
import resource
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from gateway.app import create_app
from gateway.cli import exit_codes
from gateway.cli.serve.configuration import read_for_reload
from gateway.cli.serve.port import url
from gateway.cli.serve.service_watchdog import with_watchdog
from gateway.cli.serve.signals import SPARE_SECONDS, EndGuard
from gateway.cli.serve.startup_log import with_startup_log
from gateway.http.server import AllowedHosts, GuardedServer, Watch, room_for_connections
from gateway.http.server.watch import LINGERING
from gateway.http.tls import Tls
from gateway.serving.renewals import Renewal
from gateway.supervision.spawn import kill_shards
from gateway.telemetry import logs

if TYPE_CHECKING:
    from gateway.cli.serve.sd_notify import Notifier
    from gateway.cli.serve.signals import EndSignals
    from gateway.config import Settings

YOUNG_OBJECTS = 10_000
"""New objects after which Python looks for garbage among them: half a millisecond's work.

Python's default of 700 is reached by the objects of a dozen open requests.
"""


def run(
    settings: "Settings",
    listener: socket.socket,
    operator: socket.socket | None,
    read: "Callable[[], Settings]",
    notifier: "Notifier",
    signals: "EndSignals",
    warnings: tuple[str, ...] = (),
) -> int:
    """Serve until a signal ends the server; return the exit code."""
    app = create_app(settings, partial(read_for_reload, read))
    freeze_startup_objects()
    state = app.state.gateway
    state.warnings = warnings
    tls = Tls(settings.tls) if settings.tls.certificate else None
    if tls is not None:
        state.reloads.renewed.append(partial(_renew_certificate, tls))
    state.reloads.renewed.append(_renew_logs)
    signal.signal(signal.SIGHUP, lambda *_: state.reloads.on_signal())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    address = listener.getsockname()[:2]
    lifespan = with_watchdog(app.router.lifespan_context, notifier, address)
    app.router.lifespan_context = with_startup_log(lifespan, url(listener, tls=tls is not None))
    config = uvicorn.Config(
        app,
        loop="uvloop",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    seconds = settings.drain_notice_seconds + settings.drain_seconds + SPARE_SECONDS
    guard = EndGuard(seconds, kill_shards)

    def begin_end() -> None:
        signals.has_begun = True
        guard.start()
        state.leave()

    server = GuardedServer(
        config,
        _connection_watch(settings, state.metrics.connection_refused),
        drain_seconds=settings.drain_seconds,
        notice_seconds=settings.drain_notice_seconds,
        on_signal=begin_end,
        tls=tls.context if tls else None,
        operator=operator,
    )
    with listener, contextlib.suppress(SystemExit):
        server.run(sockets=[listener])
    if state.fleet.has_failed:
        return exit_codes.SOFTWARE
    return exit_codes.OK if server.started else exit_codes.REFUSED


def freeze_startup_objects() -> None:
    """Exclude all present objects from garbage collection: they stay as long as the process.

    A collection of all of them takes 30 ms or more, in which no request is answered. New objects
    are collected after every `YOUNG_OBJECTS` of them: nearly all belong to open requests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def _renew_certificate(tls: Tls, settings: "Settings") -> Renewal:
    """Return the renewal of certificate and key; switching TLS off needs a restart."""
    if not settings.tls.certificate:
        return Renewal(lambda: None)
    return Renewal(*tls.renewal(settings.tls))


def _renew_logs(settings: "Settings") -> Renewal:
    """Return the renewal of level and format of the log."""

    def bring() -> None:
        logs.configure(settings.log_level, settings.log_format)

    return Renewal(bring)


def _connection_watch(settings: "Settings", refused: Callable[[str], None]) -> Watch:
    """Return the watch over connections, limited to what the open-file limit has room for."""
    import structlog

    http = settings.http
    room = room_for_connections(http.connections)
    if room < http.connections:
        structlog.get_logger("gateway").warning(
            "http.connections is lowered: the limit of open files (ulimit -n) allows no more",
            asked=http.connections,
            used=room,
            limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )
        http = http.model_copy(update={"connections": room})
    hosts = AllowedHosts.of(http, settings.host)
    lingering = LINGERING if http is settings.http else min(LINGERING, max(1, room // 2))
    return Watch(http, hosts, refused, lingering)
