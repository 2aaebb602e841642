"""`gateway serve`: read the configuration, open the port, run the gateway."""

import os
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exit_codes
from gateway.cli.console import fail
from gateway.cli.env_files import env_file_option
from gateway.cli.help_text import examples
from gateway.cli.model_options import model_options
from gateway.cli.operator_socket import new_socket_path
from gateway.cli.serve.configuration import checked, read_settings, unused_address
from gateway.cli.serve.port import PortUnavailable, listen, listen_for_operator
from gateway.cli.serve.signals import EndSignals

if TYPE_CHECKING:
    from gateway.config import Settings


@click.command(
    epilog=examples(
        "gateway serve --model Qwen/Qwen3-Reranker-0.6B",
        "gateway serve --model dity=DiTy/cross-encoder-russian-msmarco --port 9000",
        "gateway serve --config configs/many-models.toml",
    )
)
@click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    help="Configuration in TOML; see docs/configuration.md (default: none; env: GATEWAY_CONFIG).",
)
@env_file_option
@click.option(
    "--host",
    metavar="ADDRESS",
    help="Address to listen on (default: 127.0.0.1; env: GATEWAY_HOST).",
)
@click.option(
    "--port",
    metavar="N",
    type=int,
    help="Port to listen on, 0 for any free one (default: 8080; env: GATEWAY_PORT).",
)
@click.option(
    "--keys-file",
    metavar="FILE",
    help="File of API keys; see `gateway key` (default: no keys; env: GATEWAY_KEYS_FILE).",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="[NAME=]SOURCE",
    help="Folder or Hugging Face id of a model; repeatable (default: two embedded models).",
)
@model_options
@click.option(
    "--default-model",
    metavar="NAME",
    help="Model of requests that name none (default: the first; env: GATEWAY_DEFAULT_MODEL).",
)
@click.option(
    "--offline",
    is_flag=True,
    default=None,
    help="No requests to the Hugging Face hub (env: GATEWAY_OFFLINE).",
)
@click.option(
    "--log-level",
    metavar="LEVEL",
    help="Least important level to log: debug, info, warning or error (default: info; "
    "env: GATEWAY_LOG_LEVEL).",
)
@click.option(
    "--log-format",
    metavar="FORMAT",
    help="Log format: json, console, or auto for console on a terminal (default: auto; "
    "env: GATEWAY_LOG_FORMAT).",
)
@click.option(
    "--detach",
    is_flag=True,
    help="Run in the background; return when it scores. See `gateway stop` and `gateway logs`.",
)
def serve(file: Path | None, models: tuple[str, ...], detach: bool, **options: Any) -> None:
    """Start the gateway.

    Without --config and --model it serves two small embedded models. The options
    --dtype, --device, --replicas, --threads, --canary and --engine describe the models named by
    --model, or the embedded ones if no model is named anywhere.

    With --detach, 0 means that it runs and a model scores; with another code nothing runs.

    \b
    Exit codes:
      0   stopped by SIGTERM or SIGINT
      1   the server could not start
      66  the folder of every model is missing
      69  the port, the admin socket or the place of --detach is not available
      70  supervision failed, which is a bug
      73  the pid file or the log of --detach cannot be written
      78  the configuration is wrong
    """
    signals = EndSignals()
    if not detach:
        signals.install()
    from gateway.cli.serve.sd_notify import Notifier
    from gateway.cli.serve.startup_log import introduce
    from gateway.config.load import working_folder
    from gateway.telemetry import logs

    notifier = Notifier.of(os.environ, os.getpid())
    inherited, asked = None if detach else _inherited(), dict(options)
    if inherited is not None:  # so that its address passes the same checks as any other
        options["host"], options["port"] = inherited.getsockname()[:2]
    folder = working_folder()  # it may be deleted before a reload
    file = folder / file if file else None
    read = partial(read_settings, file, models, options, folder)
    settings = checked(read)
    if models:
        _check_folders(settings)
    if detach:
        from gateway.cli.serve.detach import own_command, start

        raise SystemExit(start(settings, own_command()))
    warnings: tuple[str, ...] = ()
    if inherited is not None:
        warnings = unused_address(partial(read_settings, file, models, asked, folder), settings)
    listener = inherited or _listen(settings)
    admin_socket = settings.admin_socket or new_socket_path(listener.getsockname()[1])
    operator = _listen_for_operator(settings, admin_socket)
    signals.admin_socket = admin_socket if operator is not None else None
    logs.configure(settings.log_level, settings.log_format)
    introduce(settings, warnings)
    from gateway.cli.serve.run import run  # seconds of imports, after the port is taken

    try:
        code = run(settings, listener, operator, read, notifier, signals, warnings)
    finally:
        if operator is not None and admin_socket is not None:
            admin_socket.unlink(missing_ok=True)
    from gateway.supervision.spawn import leave_now

    leave_now(code)


def _check_folders(settings: "Settings") -> None:
    """End the command if no model that it names is there; others would be served without one."""
    from gateway.config.advice import missing_folders

    missing = missing_folders(settings.models.values())
    if len(missing) == len(settings.models):
        fail(
            f"there is no folder {', '.join(missing)}: no model can be served", exit_codes.NO_INPUT
        )


def _inherited() -> socket.socket | None:
    """Return the listening socket that systemd has opened, if there is one."""
    from gateway.cli.serve.sd_notify import inherited_listener

    try:
        return inherited_listener(os.environ, os.getpid())
    except ValueError as error:
        fail(str(error), exit_codes.CONFIG)


def _listen(settings: "Settings") -> socket.socket:
    try:
        return listen(settings.host, settings.port)
    except PortUnavailable as error:
        fail(str(error), exit_codes.UNAVAILABLE)


def _listen_for_operator(settings: "Settings", path: Path | None) -> socket.socket | None:
    """Return the operator's socket; only one that is configured must be there."""
    if path is None:
        return None
    try:
        return listen_for_operator(path)
    except PortUnavailable as error:
        if settings.admin_socket is None:
            return None
        fail(str(error), exit_codes.UNAVAILABLE)
