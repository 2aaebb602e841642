"""`gateway status`: what `/status` says, as a table, as JSON, once or again and again."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exits
from gateway.cli.cores import where
from gateway.cli.remote import NotAnswering, Target, fetch_json, refusal, target_options
from gateway.cli.say import console
from gateway.cli.shadows import shadow_table
from gateway.cli.splits import split_table
from gateway.cli.usage import key_table

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Status = dict[str, Any]

COLOURS = {"ready": "green", "degraded": "yellow", "failed": "red", "backoff": "red"}

COLUMNS = (
    ("shard", "left"),
    ("state", "left"),
    ("pid", "right"),
    ("device", "left"),
    ("cores", "left"),
    ("dtype", "left"),
    ("generation", "right"),
    ("restarts", "right"),
    ("queue", "right"),
    ("docs/s", "right"),
    ("p50 ms", "right"),
    ("p95 ms", "right"),
    ("memory", "right"),
)

_TABLES = {"splits": split_table, "shadows": shadow_table, "keys": key_table}
"""What else a status may have, shown below its models."""


@click.command()
@target_options
@click.option("--json", "as_json", is_flag=True, help="Print what /status says, on one line.")
@click.option(
    "--watch",
    is_flag=False,
    flag_value=2.0,
    type=click.FloatRange(min=0.1),
    metavar="[SECONDS]",
    help="Look again and again, every 2 seconds unless said; `q` or Ctrl-C ends.",
)
def status(target: Target, as_json: bool, watch: float | None) -> None:
    """Show models and shards of a running gateway.

    Exit code 0: every model is ready. 1: something scores, not everything is ready. 2: nothing
    can score, or nothing answers.
    """
    if watch is not None:
        from gateway.cli.watch import watch as keep_looking

        look, show = partial(_look, target), partial(_show, as_json=True)
        raise SystemExit(keep_looking(look, show, watch, str(target), as_json=as_json))
    found, code = _look(target)
    _show(found, as_json)
    raise SystemExit(code)


def exit_code(found: Status) -> int:
    """Return what the exit code says about a status."""
    states = [model["state"] for model in found["models"]]
    if states and all(state == "ready" for state in states):
        return exits.OK
    return exits.DEGRADED if {"ready", "degraded"} & set(states) else exits.DOWN


def _look(target: Target) -> tuple[Status | str, int]:
    """Return the status, or why there is none, and the exit code."""
    try:
        found = fetch_json(target, "/status")
    except NotAnswering as error:
        return str(error), exits.DOWN
    if not isinstance(found, dict) or "models" not in found:
        return refusal(target, found), exits.DOWN
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
        for name, table in _TABLES.items():
            if found.get(name):
                console().print(table(found[name]))


def render(
    found: Status,
    columns: Sequence[tuple[str, str]] = COLUMNS,
    trends: Mapping[str, str] | None = None,
    most_rows: int | None = None,
) -> "Table":
    """Return the table: a line per model, below it one per shard, below that its troubles.

    Args:
        found: what `/status` says.
        columns: their names, and how they are justified.
        trends: what the column `trend` shows, by the name of the shard.
        most_rows: how many lines there may be; what is left out is counted below the table.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    head = f"rerank gateway {found['version']}, up {_duration(found['uptime_seconds'])}"
    table = Table(box=SIMPLE_HEAD, title=head, title_justify="left", pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    rows = list(_rows(found, trends or {}))
    for row in rows[:most_rows]:
        table.add_row(*(row.get(name, "") for name, _ in columns))
    notes = _troubles(found)
    if most_rows is not None and len(rows) > most_rows:
        left_out = f"{len(rows) - most_rows} more lines: `gateway status` shows all"
        notes = [Text(f"... {left_out}"), *notes[:most_rows]]
    if notes:
        table.caption = Text("\n").join(notes)
        table.caption_justify = "left"
    return table


def _rows(found: Status, trends: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the lines of the table by the names of their columns."""
    from rich.text import Text

    for model in _editions(found):
        yield {
            "shard": Text(model["title"], style="bold"),
            "state": _coloured(model["state"]),
            "queue": str(model["queue"]) if model.get("queue") else "",
        }
        for shard in model["shards"]:
            yield {**_cells(shard), "trend": Text(trends.get(shard["name"], ""), style="cyan")}


def _troubles(found: Status) -> "list[Text]":
    """Return what went wrong, what shards want to be known, and, quietly, what they have noted."""
    from rich.text import Text

    lines: list[Text] = []
    for model in _editions(found):
        if (model.get("calibration") or {}).get("stale"):
            lines.append(Text(f"{model['name']}: its calibration was made for other weights"))
        for shard in model["shards"]:
            troubles = [shard["last_error"], *shard.get("warnings", ())]
            lines += [Text(f"{shard['name']}: {line}") for line in troubles if line]
            notes = shard.get("notes", ())
            lines += [Text(f"{shard['name']}: {line}", style="dim") for line in notes]
    return [*lines, *(Text(f"the last reload failed: {line}") for line in _reload_errors(found))]


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
        *_calibrated(model.get("calibration")),
        *(f"also {alias}" for alias in model["aliases"]),
    ]
    return f"{model['name']} ({', '.join(notes)})" if notes else str(model["name"])


def _calibrated(found: dict[str, Any] | None) -> list[str]:
    return [f"calibrated {found['made'][:10]}"] if found else []


def _cells(shard: dict[str, Any]) -> dict[str, Any]:
    state, stage = shard["state"], shard.get("stage", "")
    return {
        "shard": f"  {shard['name']}",
        "state": _coloured(f"{state} ({stage})" if stage and state != "ready" else state),
        "pid": str(shard["pid"] or "-"),
        "device": shard["device"],
        "cores": where(shard.get("cores", ()), shard.get("memory_nodes", ())),
        "dtype": shard["dtype"],
        "generation": str(shard["generation"]),
        "restarts": str(shard["restarts"]),
        "queue": str(shard["queue"]),
        "docs/s": f"{shard.get('documents_per_second', 0):.1f}",
        "p50 ms": f"{shard['p50_ms']:.1f}",
        "p95 ms": f"{shard['p95_ms']:.1f}",
        "memory": _bytes(shard["memory_bytes"]),
    }


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
