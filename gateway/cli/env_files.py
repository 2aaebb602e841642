"""Files of environment variables, as `docker --env-file` and systemd have them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def env_file_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--env-file`, whose variables are set before any other option is read."""
    return click.option(
        "--env-file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_set_variables,
        help="File of variables, read once; the environment has precedence (default: none).",
    )(command)


def _set_variables(_context: click.Context, _option: click.Parameter, file: Path | None) -> None:
    for name, value in (read_env_file(file) if file else {}).items():
        os.environ.setdefault(name, value)


def read_env_file(file: Path) -> dict[str, str]:
    """Return the variables of a file; end the command if a line is not `NAME=VALUE`."""
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        with file.open(encoding="utf-8") as stream:
            for binding in parse_stream(stream):
                if binding.error or (binding.key is not None and binding.value is None):
                    text = binding.original.string
                    line = binding.original.line + len(text) - len(text.lstrip("\n"))
                    raise click.BadParameter(
                        f"{file}, line {line}: this is not NAME=VALUE", param_hint="--env-file"
                    )
        found = dotenv_values(file)
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(
            f"{file} cannot be read: {error}", param_hint="--env-file"
        ) from None
    return {name: value for name, value in found.items() if value is not None}
