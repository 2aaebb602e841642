"""`gateway key`: create, list and revoke the keys of a gateway, in their file.

The file need not belong to a running gateway; `gateway reload` brings changes into effect.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exit_codes
from gateway.cli.console import fail, print_json, print_table, report
from gateway.cli.help_text import Group, examples
from gateway.cli.operate.revocation import admin_socket, refused_by
from gateway.cli.table import Column, Row, Table

if TYPE_CHECKING:
    from gateway.http.keys import Key, KeyFile

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_RELOAD_HINT = "`gateway reload` brings the change into effect"


@click.group(
    cls=Group,
    epilog=examples(
        "gateway key new 'search team' --keys-file keys.toml --expires 90d --rate 600",
        "gateway key list --config gateway.toml",
        "gateway key revoke 'search team' --config gateway.toml",
    ),
)
def key() -> None:
    """Create, list and revoke API keys.

    \b
    Exit codes:
      0   done
      1   refused: no such key, or no such file
      73  the file cannot be written
      78  the file or the configuration has errors
    """


def _file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "--json", "as_json", is_flag=True, help="Output as JSON instead of text."
    )(command)
    command = click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar="GATEWAY_CONFIG",
        help="Configuration that names the file of keys (default: none; env: GATEWAY_CONFIG).",
    )(command)
    return click.option(
        "--keys-file",
        "file",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="GATEWAY_KEYS_FILE",
        help="File of keys (default: that of --config; env: GATEWAY_KEYS_FILE).",
    )(command)


@key.command()
@click.argument("name")
@click.option(
    "--expires",
    metavar="WHEN",
    help="End of validity: 2027-01-31, 2027-01-31T12:00:00Z, 90d, 12h or 4w (default: never).",
)
@click.option("--models", metavar="NAME,...", help="Models that the key may use (default: all).")
@click.option("--rate", type=int, metavar="N", help="Limit of requests per minute (default: none).")
@click.option(
    "--concurrency",
    type=int,
    metavar="N",
    help="Limit of requests in progress at a time (default: none).",
)
@click.option(
    "--weight",
    type=float,
    metavar="N",
    default=1.0,
    help="Share of a busy model relative to other keys (default: 1).",
)
@click.option("--no-score-cache", is_flag=True, help="No use of the score cache.")
@click.option("--admin", is_flag=True, help="Access to status, metrics, reload and drain.")
@_file_options
def new(
    name: str,
    file: Path | None,
    config: Path | None,
    as_json: bool,
    expires: str | None,
    models: str | None,
    rate: int | None,
    concurrency: int | None,
    weight: float,
    no_score_cache: bool,
    admin: bool,
) -> None:
    """Create a key for NAME and print it once.

    The file keeps a hash of the key; the key itself cannot be shown again.
    """
    from gateway.http.keys.secret import digest, new_id, new_secret
    from gateway.http.keys.text import with_key

    now = _now()
    id_ = new_id()
    secret = new_secret(id_)
    made = _valid_key(
        id=id_,
        name=name,
        hash=digest(secret),
        created=now,
        expires=_moment(expires, now) if expires else None,
        models=tuple(part.strip() for part in (models or "").split(",") if part.strip()),
        requests_per_minute=rate,
        concurrency=concurrency,
        weight=weight,
        score_cache=not no_score_cache,
        admin=admin,
    )
    with _key_file(path := _path(file, config)) as keys:
        keys.change(lambda text: with_key(text, made))
    if as_json:
        print_json({"key": secret, **_public(made, now)}, indent=True)
        return
    click.echo(secret)
    click.echo(
        f"key {id_} for {name} is in {path}; this is the only time it is shown. {_RELOAD_HINT}",
        err=True,
    )


@key.command(name="list")
@_file_options
def list_(file: Path | None, config: Path | None, as_json: bool) -> None:
    """List the keys of a file, without their secrets."""
    with _key_file(_path(file, config)) as keys:
        found = keys.read()
    now = _now()
    shown = [_public(key, now) for key in found]
    if as_json:
        print_json(shown, indent=True)
    else:
        print_table(_table(shown))


@key.command()
@click.argument("which", metavar="ID|NAME")
@_file_options
def revoke(which: str, file: Path | None, config: Path | None, as_json: bool) -> None:
    """Revoke a key, by its id or by its name.

    A gateway whose admin socket this process can use refuses the key at once: that of --config, or
    of GATEWAY_ADMIN_SOCKET.
    """
    from gateway.http.keys.text import Unchangeable, without

    now = _now()
    with _key_file(path := _path(file, config)) as keys:
        found = _find(keys.read(), which, path)
        try:
            keys.change(lambda text: without(text, found.id, now))
        except Unchangeable as error:
            fail(f"{path}: {error}", exit_codes.REFUSED)
    refusing = refused_by(found.id, admin_socket(config))
    if as_json:
        print_json(_public(found.model_copy(update={"revoked": now}), now), indent=True)
        return
    click.echo(f"key {found.id} ({found.name}) is revoked. {refusing or _RELOAD_HINT}", err=True)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _find(keys: "tuple[Key, ...]", which: str, path: Path) -> "Key":
    """Return the only key with an id or name that is not revoked; else end the command."""
    found = [key for key in keys if key.id == which] or [key for key in keys if key.name == which]
    if not found:
        fail(f"{path} has no key {which!r}; `gateway key list` shows all keys", exit_codes.REFUSED)
    valid = [key for key in found if key.revoked is None]
    if not valid:
        fail(f"{which!r} has been revoked before", exit_codes.REFUSED)
    if len(valid) > 1:
        ids = ", ".join(key.id for key in valid)
        fail(f"{which!r} is the name of several keys: give an id, {ids}", exit_codes.REFUSED)
    return valid[0]


def _valid_key(**values: Any) -> "Key":
    from pydantic import ValidationError

    from gateway.http.keys import Key

    try:
        return Key(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = {"requests_per_minute": "rate"}.get(str(first["loc"][0]), str(first["loc"][0]))
        problem = first["msg"][:1].lower() + first["msg"][1:]
        raise click.UsageError(f"--{option} {first['input']}: {problem}") from None


def _moment(text: str, now: datetime) -> datetime:
    """Return the moment of a date, a time of a day, or a time from now."""
    if match := re.fullmatch(r"(\d{1,5})([hdw])", text):
        return now + timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            f"--expires {text}: write 2027-01-31, 2027-01-31T12:00:00Z, 90d, 12h or 4w"
        ) from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if found <= now:
        raise click.UsageError(f"--expires {text}: this is in the past")
    return found


def _path(file: Path | None, config: Path | None) -> Path:
    """Return the file of keys; end the command if the options name none."""
    from gateway.config import ConfigError, load

    if file is not None:
        return file
    if config is None:
        raise click.UsageError(
            "no file of keys: give --keys-file FILE, or --config FILE with keys_file"
        )
    try:
        found = load(config).keys_file
    except ConfigError as error:
        report(error.problems)
        raise SystemExit(exit_codes.CONFIG) from None
    if found is None:
        raise click.UsageError(f'{config} names no file of keys: add keys_file = "keys.toml"')
    return found


@contextmanager
def _key_file(path: Path) -> "Iterator[KeyFile]":
    """Yield the file of keys; print its errors and end the command if it has any."""
    from gateway.config import ConfigError
    from gateway.http.keys import KeyFile

    try:
        yield KeyFile(path)
    except ConfigError as error:
        for problem in error.problems:
            click.secho(str(problem), fg="red", err=True)
        raise SystemExit(exit_codes.CONFIG) from None
    except FileNotFoundError:
        missing = path if path.parent.is_dir() else path.parent
        fail(f"{missing} does not exist", exit_codes.REFUSED)
    except OSError as error:
        fail(
            f"{path} cannot be written ({error.strerror}); nothing has changed",
            exit_codes.CANNOT_CREATE,
        )


def _public(key: "Key", now: datetime) -> dict[str, Any]:
    """Return the fields of a key without its hash, and its state."""
    fields = key.model_dump(mode="json", exclude={"hash"})
    return {**fields, "state": key.state(now)}


_COLUMNS = (
    *map(Column, ("id", "name", "state", "expires", "models")),
    *(Column(title, right=True) for title in ("rate/min", "at a time", "weight")),
    Column("admin"),
)


def _table(keys: list[dict[str, Any]]) -> Table:
    rows: list[Row] = [
        {
            "id": key["id"],
            "name": key["name"],
            "state": key["state"],
            "expires": key["expires"] or "never",
            "models": ", ".join(key["models"]) or "all",
            "rate/min": str(key["requests_per_minute"] or "-"),
            "at a time": str(key["concurrency"] or "-"),
            "weight": f"{key['weight']:g}",
            "admin": "yes" if key["admin"] else "",
        }
        for key in keys
    ]
    return Table(_COLUMNS, rows)
