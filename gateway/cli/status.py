"""`gateway status`: what `/status` says, as a table, as JSON, once or again and again."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exits
from gateway.cli.remote import NotAnswering, fetch_json, url_option
from gateway.cli.say import console

if TYPE_CHECKING:
    from rich.table import Table

Status = dict[str, Any]

COLOURS = {"ready": "green", "degraded": "yellow", "failed": "red", "backoff": "red"}

COLUMNS = (
    ("shard", "left"),
    ("state", "left"),
    ("pid", "right"),
    ("device", "left"),
    ("dtype", "left"),
    ("generation", "right"),
    ("restarts", "right"),
    ("queue", "right"),
    ("docs/s", "right"),
    ("p50 ms", "right"),
    ("p95 ms", "right"),
    ("memory", "right"),
)

QUEUE_COLUMN = [name for name, _ in COLUMNS].index("queue")


@click.command()
@url_option
@click.option("--json", "as_json", is_flag=True, help="Print what /status says, on one line.")
@click.option(
    "--watch",
    is_flag=False,
    flag_value=2.0,
    type=click.FloatRange(min=0.1),
    metavar="[SECONDS]",
    help="Refresh until Ctrl-C; every 2 seconds unless said.",
)
def status(url: str, as_json: bool, watch: float | None) -> None:
    """Show models and shards of a running gateway.

    Exit code 0: every model is ready. 1: something scores, not everything is ready. 2: nothing
    can score, or nothing answers.
    """
    if watch is not None:
        raise SystemExit(_watch(url, as_json, watch))
    found, code = _look(url)
    _show(found, as_json)
    raise SystemExit(code)


def exit_code(found: Status) -> int:
    """Return what the exit code says about a status."""
    states = [model["state"] for model in found["models"]]
    if states and all(state == "ready" for state in states):
        return exits.OK
    return exits.DEGRADED if {"ready", "degraded"} & set(states) else exits.DOWN


def _look(url: str) -> tuple[Status | str, int]:
    """Return the status, or why there is none, and the exit code."""
    try:
        found = fetch_json(url, "/status")
    except NotAnswering as error:
        return str(error), exits.DOWN
    if not isinstance(found, dict) or "models" not in found:
        return f"{url} answers, but it is no rerank gateway", exits.DOWN
    return found, exit_code(found)


def _show(found: Status | str, as_json: bool) -> None:
    import orjson

    if isinstance(found, str):
        click.echo(found, err=True)
        if as_json:
            click.echo(orjson.dumps({"error": found}).decode())
    elif as_json:
        click.echo(orjson.dumps(found).decode())
    else:
        console().print(render(found))


def _watch(url: str, as_json: bool, seconds: float) -> int:
    """Look again and again, until Ctrl-C; return the code of the last look."""
    code = exits.DOWN
    try:
        with _display(as_json) as show:
            while True:
                found, code = _look(url)
                show(found)
                time.sleep(seconds)
    except KeyboardInterrupt:
        return code


@contextmanager
def _display(as_json: bool) -> Iterator[Callable[[Status | str], None]]:
    """Yield what shows a status: in place on a terminal, one after the other elsewhere."""
    if as_json or not sys.stdout.isatty():
        yield lambda found: _show(found, as_json)
        return
    from rich.live import Live

    with Live(console=console(), auto_refresh=False) as live:
        yield lambda found: live.update(
            found if isinstance(found, str) else render(found), refresh=True
        )


def render(found: Status) -> "Table":
    """Return the table: a line per model, below it one per shard, below that its troubles."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    head = f"rerank gateway {found['version']}, up {_duration(found['uptime_seconds'])}"
    table = Table(box=SIMPLE_HEAD, title=head, title_justify="left", pad_edge=False)
    for name, justify in COLUMNS:
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    troubles: list[Text] = []
    for model in _editions(found):
        waiting = str(model["queue"]) if model.get("queue") else ""
        blanks = [""] * (QUEUE_COLUMN - 2)
        table.add_row(
            Text(model["title"], style="bold"), _coloured(model["state"]), *blanks, waiting
        )
        for shard in model["shards"]:
            table.add_row(*_cells(shard))
            lines = [shard["last_error"], *shard.get("warnings", ())]
            troubles += [Text(f"{shard['name']}: {line}") for line in lines if line]
            notes = shard.get("notes", ())
            troubles += [Text(f"{shard['name']}: {line}", style="dim") for line in notes]
    troubles += [Text(f"the last reload failed: {line}") for line in _reload_errors(found)]
    if troubles:
        table.caption = Text("\n").join(troubles)
        table.caption_justify = "left"
    return table


def _editions(found: Status) -> Iterator[dict[str, Any]]:
    """Yield what serves, and what a reload is starting or ending beside it; each with its title."""
    for model in found["models"]:
        yield {**model, "title": _title(model)}
    for note in ("coming", "leaving"):
        for model in found.get("reload", {}).get(note, ()):
            yield {**model, "title": f"{model['name']} ({note})"}


def _reload_errors(found: Status) -> list[str]:
    last = found.get("reload", {}).get("last") or {"errors": []}
    return list(last["errors"])


def _title(model: dict[str, Any]) -> str:
    notes = [
        *(["default"] if model["default"] else []),
        *([model["engine"]] if model["engine"] else []),
        *(["demonstration"] if model.get("demonstration") else []),
        *(f"also {alias}" for alias in model["aliases"]),
    ]
    return f"{model['name']} ({', '.join(notes)})" if notes else str(model["name"])


def _cells(shard: dict[str, Any]) -> tuple[Any, ...]:
    state = shard["state"]
    stage = shard.get("stage", "")
    return (
        f"  {shard['name']}",
        _coloured(f"{state} ({stage})" if stage and state != "ready" else state),
        str(shard["pid"] or "-"),
        shard["device"],
        shard["dtype"],
        str(shard["generation"]),
        str(shard["restarts"]),
        str(shard["queue"]),
        f"{shard.get('documents_per_second', 0):.1f}",
        f"{shard['p50_ms']:.1f}",
        f"{shard['p95_ms']:.1f}",
        _bytes(shard["memory_bytes"]),
    )


def _coloured(state: str) -> Any:
    from rich.text import Text

    return Text(state, style=COLOURS.get(state.partition(" ")[0], "yellow"))


def _bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    said = [f"{number} {unit}" for number, unit in parts if number][:2]
    return " ".join(said) or "0 s"
