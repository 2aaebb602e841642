"""`gateway serve`: read the settings, take the port, start the gateway."""

import contextlib
import gc
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gateway.cli import exits
from gateway.cli.announce import announced
from gateway.cli.attend import attended
from gateway.cli.flags import model_options, model_trees
from gateway.cli.port import PortUnavailable, listen, listen_for_operator, url
from gateway.cli.say import fail, report

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.http_guard import Watch
    from gateway.notify import Notifier
    from gateway.reload import Renewal
    from gateway.tls import Tls


@click.command(
    epilog="Examples: `gateway serve --model Qwen/Qwen3-Reranker-0.6B`, "
    "`gateway serve --model dity=DiTy/cross-encoder-russian-msmarco --port 9000`, "
    "`gateway serve --config configs/many-models.toml`."
)
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    help="A TOML file; see docs/configuration.md.",
)
@click.option("--host", help="Address to listen on; default 127.0.0.1.")
@click.option("--port", type=int, help="Port to listen on; default 8080, 0 for any free one.")
@click.option(
    "--keys-file", metavar="FILE", help="The file of API keys; see `gateway key`. Default: no keys."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="[NAME=]SOURCE",
    help="A folder or a Hugging Face id; repeat for several.",
)
@model_options
@click.option("--default-model", help="The model of requests that name none; default the first.")
@click.option("--offline", is_flag=True, default=None, help="Never ask the Hugging Face hub.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--log-format", metavar="FORMAT", help="auto, json or console.")
def serve(file: Path | None, models: tuple[str, ...], **options: Any) -> None:
    """Start the gateway.

    Without --config and --model it serves two small embedded models for a first look. --dtype,
    --device, --replicas, --threads and --engine describe the models named by --model, or the
    embedded ones when no model is named anywhere.
    """
    _end_on_signals()
    from gateway import logs
    from gateway.notify import Notifier

    notifier = Notifier.of(os.environ, os.getpid())
    inherited = _inherited()
    if inherited is not None:  # so that it is checked like any other address
        options["host"], options["port"] = inherited.getsockname()[:2]
    read = partial(_read, file, models, options)
    settings = _settings(read)
    listener, operator = inherited or _listen(settings), _listen_for_operator(settings)
    logs.configure(settings.log_level, settings.log_format)
    _introduce(settings)
    try:
        code = _run(settings, listener, operator, read, notifier)
    finally:
        if operator is not None and settings.admin_socket is not None:
            settings.admin_socket.unlink(missing_ok=True)
    from gateway.spawn import leave_now

    leave_now(code)


def _inherited() -> socket.socket | None:
    """Return the listening socket that systemd has opened, if there is one."""
    from gateway.notify import inherited_listener

    try:
        return inherited_listener(os.environ, os.getpid())
    except ValueError as error:
        fail(str(error), exits.CONFIG)


def _listen(settings: "Settings") -> socket.socket:
    try:
        return listen(settings.host, settings.port)
    except PortUnavailable as error:
        fail(str(error), exits.UNAVAILABLE)


def _listen_for_operator(settings: "Settings") -> socket.socket | None:
    if settings.admin_socket is None:
        return None
    try:
        return listen_for_operator(settings.admin_socket)
    except PortUnavailable as error:
        fail(str(error), exits.UNAVAILABLE)


MODEL_FLAGS = ("dtype", "devices", "replicas", "threads", "engine")


def _settings(read: "Callable[[], Settings]") -> "Settings":
    from gateway.config import ConfigError, calibrations_of
    from gateway.keys import keys_of
    from gateway.tls import check_pair

    try:
        settings = read()
        keys_of(settings)
        calibrations_of(settings)
        check_pair(settings.tls)
        return settings
    except ConfigError as error:
        report(error.problems)
        raise SystemExit(exits.CONFIG) from None


def _read(file: Path | None, models: tuple[str, ...], options: dict[str, Any]) -> "Settings":
    """Return what file, environment and flags say now; raises `ConfigError`. A reload does it, too."""
    from gateway.config import load

    described = {key: options[key] for key in MODEL_FLAGS}
    flags = {key: value for key, value in options.items() if value is not None}
    for key in MODEL_FLAGS:
        flags.pop(key, None)
    if models:
        flags["models"] = model_trees(models, described)
    elif any(value not in (None, ()) for value in described.values()):
        flags["models"] = _embedded(load(file), described)
    return load(file, flags)


def _read_again(read: "Callable[[], Settings]") -> "Settings":
    """Return what a reload serves: flags that were fine may not fit the file any more."""
    from gateway.config import ConfigError, Problem

    try:
        return read()
    except click.UsageError as error:
        remedy = "Or start the gateway without these flags"
        raise ConfigError(
            [Problem(path=(), message=error.message, remedy=remedy, origin="flags")]
        ) from error


def _embedded(settings: "Settings", described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if any(not model.source.startswith("embedded:") for model in settings.models.values()):
        raise click.UsageError(
            "--dtype, --device, --replicas, --threads and --engine describe the models named by "
            "--model; for models of the configuration file, set them there"
        )
    pairs = [f"{name}={model.source}" for name, model in settings.models.items()]
    return model_trees(pairs, described)


def _introduce(settings: "Settings") -> None:
    """Say what is served, before anything takes time."""
    import structlog

    from gateway import __version__
    from gateway.config import advice
    from gateway.config.load import unknown_variables
    from gateway.keys import keys_of
    from gateway.machine import read_machine

    log = structlog.get_logger("gateway")
    log.info("rerank gateway starting", version=__version__, models=list(settings.models))
    keys = keys_of(settings)
    advised = (*advice(settings, read_machine()), *(keys.warnings if keys else ()))
    for line in (*unknown_variables(), *advised):
        log.warning(line)
    embedded = [
        name for name, model in settings.models.items() if model.source.startswith("embedded:")
    ]
    if embedded:
        log.info(
            "%s: small demonstration models. A real one: "
            "gateway serve --model Qwen/Qwen3-Reranker-0.6B",
            " and ".join(embedded),
        )


YOUNG_OBJECTS = 10_000
"""How many objects more than before make Python look for garbage among the new ones: half a
millisecond's work. Its own 700 are those of a dozen open requests."""


def keep() -> None:
    """Leave out what is there now whenever garbage is looked for: it stays as long as the process.

    Looking through all of it takes 30 ms or more, in which nobody is answered. What is new is looked
    through as soon as there are `YOUNG_OBJECTS` more: nearly all of that are the open requests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def _run(
    settings: "Settings",
    listener: socket.socket,
    operator: socket.socket | None,
    read: "Callable[[], Settings]",
    notifier: "Notifier",
) -> int:
    import uvicorn

    from gateway.app import create_app
    from gateway.http_guard import GuardedServer
    from gateway.tls import Tls

    app = create_app(settings, partial(_read_again, read))
    keep()
    tls = Tls(settings.tls) if settings.tls.certificate else None
    if tls is not None:
        app.state.reloads.renewed.append(partial(_new_pair, tls))
    signal.signal(signal.SIGHUP, lambda *_: app.state.reloads.on_signal())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    address = listener.getsockname()[:2]
    lifespan = attended(app.router.lifespan_context, notifier, address)
    app.router.lifespan_context = announced(lifespan, url(listener, tls=tls is not None))
    config = uvicorn.Config(
        app,
        loop="uvloop",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    server = GuardedServer(
        config,
        _watch(settings, app.state.api.metrics.connection_refused),
        drain_seconds=settings.drain_seconds,
        notice_seconds=settings.drain_notice_seconds,
        on_signal=app.state.api.leave,
        tls=tls.context if tls else None,
        operator=operator,
    )
    with listener, contextlib.suppress(SystemExit):
        server.run(sockets=[listener])
    if app.state.api.fleet.has_failed:
        return exits.SOFTWARE
    return exits.OK if server.started else exits.REFUSED


def _new_pair(tls: "Tls", settings: "Settings") -> "Renewal":
    """Renew the certificate and its key; that there is none any more needs another start."""
    from gateway.reload import Renewal

    if not settings.tls.certificate:
        return Renewal(lambda: None)
    return Renewal(tls.renewal(settings.tls))


def _watch(settings: "Settings", refused: Callable[[str], None]) -> "Watch":
    """Return what watches over the connections, and over no more than there are descriptors for."""
    import structlog

    from gateway.http_guard import AllowedHosts, Watch, room_for_connections

    http = settings.http
    room = room_for_connections(http.connections)
    if room < http.connections:
        structlog.get_logger("gateway").warning(
            "http.connections is lowered: the limit of open files (ulimit -n) allows no more",
            asked=http.connections,
            used=room,
        )
        http = http.model_copy(update={"connections": room})
    return Watch(http, AllowedHosts.of(http, settings.host), refused)


def _end_on_signals() -> None:
    """End with code 0 when asked to, whenever that is; a reload that comes early waits for its handler.

    uvicorn drains, and then raises the signal that it caught once more, for whoever came before.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(exits.OK)
