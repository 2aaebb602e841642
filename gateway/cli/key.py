"""`gateway key`: make, list and revoke the keys of a gateway, in their file.

The file need not belong to a running gateway; `gateway reload` brings what changed into effect.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exits
from gateway.cli.say import console, fail, report

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.keys import Key

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_REVOKED_HINT = "`gateway reload` brings it into effect"


@click.group()
def key() -> None:
    """Make, list and revoke API keys.

    Exit code 0: done. 1: refused. 73: the file cannot be written. 78: there is something wrong in it.
    """


def _file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    command = click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="GATEWAY_CONFIG",
        help="The configuration whose keys_file is meant.",
    )(command)
    return click.option(
        "--keys-file",
        "file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="GATEWAY_KEYS_FILE",
        help="The file of keys; also GATEWAY_KEYS_FILE.",
    )(command)


@key.command()
@click.argument("name")
@click.option("--expires", metavar="WHEN", help="2027-01-31, 2027-01-31T12:00:00Z, 90d, 12h, 4w.")
@click.option("--models", metavar="NAME,...", help="The models it may use; default all.")
@click.option("--rate", type=int, metavar="N", help="Requests per minute; default no limit.")
@click.option("--concurrency", type=int, metavar="N", help="Requests at a time; default no limit.")
@click.option("--weight", type=float, default=1.0, help="Its share of a busy model; default 1.")
@click.option("--admin", is_flag=True, help="It may see status and metrics, reload and drain.")
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
    admin: bool,
) -> None:
    """Make a key for NAME, and print it: this once, it is kept nowhere."""
    from gateway.keys.secret import digest, new_id, new_secret
    from gateway.keys.text import with_key

    now = _now()
    id_ = new_id()
    secret = new_secret(id_)
    made = _key(
        id=id_,
        name=name,
        hash=digest(secret),
        created=now,
        expires=_moment(expires, now) if expires else None,
        models=tuple(one.strip() for one in (models or "").split(",") if one.strip()),
        requests_per_minute=rate,
        concurrency=concurrency,
        weight=weight,
        admin=admin,
    )
    with _told(path := _path(file, config)) as keys:
        keys.change(lambda text: with_key(text, made))
    if as_json:
        _print_json({"key": secret, **_shown(made, now)})
        return
    click.echo(secret)
    click.echo(
        f"key {id_} for {name} is in {path}; this is the only time it is shown. {_REVOKED_HINT}",
        err=True,
    )


@key.command(name="list")
@_file_options
def list_(file: Path | None, config: Path | None, as_json: bool) -> None:
    """List the keys of a file; what is kept of them does not give them away."""
    with _told(_path(file, config)) as keys:
        found = keys.read()
    now = _now()
    if as_json:
        _print_json([_shown(one, now) for one in found])
    else:
        console().print(_table([_shown(one, now) for one in found]))


@key.command()
@click.argument("which", metavar="ID|NAME")
@_file_options
def revoke(which: str, file: Path | None, config: Path | None, as_json: bool) -> None:
    """Take a key back, by its id or by the name it was made for."""
    from gateway.keys.text import Unchangeable, without

    now = _now()
    with _told(path := _path(file, config)) as keys:
        one = _meant(keys.read(), which, path)
        try:
            keys.change(lambda text: without(text, one.id, now))
        except Unchangeable as error:
            fail(f"{path}: {error}", exits.REFUSED)
    if as_json:
        _print_json(_shown(one.model_copy(update={"revoked": now}), now))
        return
    click.echo(f"key {one.id} ({one.name}) is revoked. {_REVOKED_HINT}", err=True)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _meant(keys: "tuple[Key, ...]", which: str, path: Path) -> "Key":
    """Return the one key that is meant and not revoked yet; end the command if there is none."""
    found = [one for one in keys if one.id == which] or [one for one in keys if one.name == which]
    if not found:
        fail(f"{path} has no key {which!r}; `gateway key list` shows them", exits.REFUSED)
    left = [one for one in found if one.revoked is None]
    if not left:
        fail(f"{which!r} has been revoked before", exits.REFUSED)
    if len(left) > 1:
        ids = ", ".join(one.id for one in left)
        fail(f"{which!r} has several keys: say which one by its id, {ids}", exits.REFUSED)
    return left[0]


def _key(**values: Any) -> "Key":
    from pydantic import ValidationError

    from gateway.keys import Key

    try:
        return Key(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        flag = {"requests_per_minute": "rate"}.get(str(first["loc"][0]), str(first["loc"][0]))
        said = first["msg"][:1].lower() + first["msg"][1:]
        raise click.UsageError(f"--{flag} {first['input']}: {said}") from None


def _moment(text: str, now: datetime) -> datetime:
    """Read a date, a moment, or a time from now."""
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
        raise click.UsageError(f"--expires {text}: that is over")
    return found


def _path(file: Path | None, config: Path | None) -> Path:
    """Return the file that is meant."""
    from gateway.config import ConfigError, load

    if file is not None:
        return file
    if config is None:
        raise click.UsageError("which file? Say --keys-file FILE, or --config FILE with keys_file")
    try:
        found = load(config).keys_file
    except ConfigError as error:
        report(error.problems)
        raise SystemExit(exits.CONFIG) from None
    if found is None:
        raise click.UsageError(f'{config} names no file of keys: add keys_file = "keys.toml"')
    return found


@contextmanager
def _told(path: Path) -> Iterator[Any]:
    """Yield the file of keys; tell what is wrong with it, and end the command."""
    from gateway.config import ConfigError
    from gateway.keys import KeyFile

    try:
        yield KeyFile(path)
    except ConfigError as error:
        for problem in error.problems:
            click.secho(str(problem), fg="red", err=True)
        raise SystemExit(exits.CONFIG) from None
    except FileNotFoundError:
        missing = path if path.parent.is_dir() else path.parent
        fail(f"{missing} is not there", exits.REFUSED)
    except OSError as error:
        fail(
            f"{path} cannot be written ({error.strerror}); nothing has changed", exits.CANNOT_CREATE
        )


def _shown(one: "Key", now: datetime) -> dict[str, Any]:
    """Return what is shown of a key."""
    fields = one.model_dump(mode="json", exclude={"hash"})
    return {**fields, "state": one.state(now)}


def _print_json(found: Any) -> None:
    import orjson

    click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())


_COLUMNS = ("id", "name", "state", "expires", "models", "rate/min", "at a time", "weight", "admin")


def _table(keys: list[dict[str, Any]]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(*_COLUMNS, box=SIMPLE_HEAD, pad_edge=False)
    for one in keys:
        cells = (
            one["id"],
            one["name"],
            one["state"],
            one["expires"] or "never",
            ", ".join(one["models"]) or "all",
            str(one["requests_per_minute"] or "-"),
            str(one["concurrency"] or "-"),
            f"{one['weight']:g}",
            "yes" if one["admin"] else "",
        )
        table.add_row(*map(Text, cells))
    return table
