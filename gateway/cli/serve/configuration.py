"""Settings of `gateway serve`: file, environment and options, at the start and on reload."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exit_codes
from gateway.cli.console import report, warn
from gateway.cli.model_options import MODEL_KEYS, model_trees

if TYPE_CHECKING:
    from gateway.config import Settings


def checked(read: "Callable[[], Settings]") -> "Settings":
    """Return settings whose keys, calibrations and certificate can be read; else end the command.

    A file may come through a pipe or a slow mount, so there is no time limit; a signal ends the
    process meanwhile.
    """
    from gateway.config import ConfigError, run_patiently

    try:
        return run_patiently(partial(_read_all, read), _warn_of_blocked)
    except ConfigError as error:
        report(error.problems)
        raise SystemExit(exit_codes.CONFIG) from None


def _read_all(read: "Callable[[], Settings]") -> "Settings":
    from gateway.config import calibrations_of
    from gateway.http.keys import keys_of
    from gateway.http.tls import check_pair

    settings = read()
    keys_of(settings)
    calibrations_of(settings)
    check_pair(settings.tls)
    return settings


def _warn_of_blocked(file: str) -> None:
    warn(
        f"{file} is not read yet: check for a pipe without a writer or a mount that hangs; "
        "the gateway waits for it"
    )


def read_settings(
    file: Path | None, models: tuple[str, ...], options: dict[str, Any], folder: Path
) -> "Settings":
    """Return the settings of a file, the environment and the options as they are now.

    Relative paths of environment and options begin in `folder`: the working directory may change.

    Raises:
        ConfigError: they are wrong.
        click.UsageError: the options do not fit the file.
    """
    from gateway.config import load

    described = {key: options[key] for key in MODEL_KEYS}
    settings = {
        key: value for key, value in options.items() if value is not None and key not in MODEL_KEYS
    }
    if models:
        settings["models"] = model_trees(models, described)
    elif any(value not in (None, ()) for value in described.values()):
        settings["models"] = _embedded(load(file, folder=folder), described)
    return load(file, settings, folder)


def unused_address(read: "Callable[[], Settings]", settings: "Settings") -> tuple[str, ...]:
    """Return a warning if another address is configured than the socket unit has opened.

    Args:
        read: returns the settings as they would be without the socket unit.
        settings: the settings in effect.
    """
    from gateway.config import ConfigError

    try:
        asked = read()
    except ConfigError as error:  # such as an address that needs keys
        unused = sorted({str(problem.path[0]) for problem in error.problems if problem.path})
    else:
        unused = [
            f"{key} = {getattr(asked, key)}"
            for key in ("host", "port")
            if key in asked.model_fields_set and getattr(asked, key) != getattr(settings, key)
        ]
    if not unused:
        return ()
    return (
        f"{' and '.join(unused)}: without effect, because the socket unit has opened "
        f"{settings.host}, port {settings.port}. Change ListenStream= in its place: `systemctl "
        "edit rerank-gateway.socket`",
    )


def read_for_reload(read: "Callable[[], Settings]") -> "Settings":
    """Return the settings for a reload; options that do not fit the file any more are a problem."""
    from gateway.config import ConfigError, Problem

    try:
        return read()
    except click.UsageError as error:
        remedy = "Or start the gateway without these options"
        raise ConfigError(
            [Problem(path=(), message=error.message, remedy=remedy, origin="flags")]
        ) from error


def _embedded(settings: "Settings", described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    from gateway.config.checks import EMBEDDED_SOURCES

    if any(model.source not in EMBEDDED_SOURCES for model in settings.models.values()):
        raise click.UsageError(
            "--dtype, --device, --replicas, --threads, --canary and --engine describe the models "
            "named by --model; for models of the configuration file, set them there"
        )
    pairs = [f"{name}={model.source}" for name, model in settings.models.items()]
    trees = model_trees(pairs, described)
    return {
        name: {**tree, "aliases": settings.models[name].aliases} for name, tree in trees.items()
    }
