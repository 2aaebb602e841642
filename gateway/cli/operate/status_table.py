"""The table of `gateway status`: a heading per model, a line per shard, and problems below."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway.cli.operate.formatting import byte_size, duration, shard_cores
from gateway.cli.operate.trends import Trends, sparkline
from gateway.cli.table import Column, Heading, Table

if TYPE_CHECKING:
    from rich.text import Text

Status = dict[str, Any]

COLOURS = {"ready": "green", "degraded": "yellow", "failed": "red", "backoff": "red"}

COLUMNS = (
    Column("shard"),
    Column("state"),
    Column("pid", right=True),
    Column("device"),
    Column("cores"),
    Column("dtype"),
    Column("generation", right=True),
    Column("restarts", right=True),
    Column("queue", right=True),
    Column("docs/s", right=True),
    Column("trend"),
    Column("p50 ms", right=True),
    Column("p95 ms", right=True),
    Column("memory", right=True),
)

LEFT_OUT = (
    "cores",
    "generation",
    "pid",
    "dtype",
    "p50 ms",
    "trend",
    "memory",
    "restarts",
    "device",
)
"""Columns that a narrow terminal leaves out, in this order."""

_TREND_WIDTH = 12


def fitted(
    status: Status, width: int | None, trends: Trends | None = None, room: int | None = None
) -> "list[Text]":
    """Return the lines of the table in the width of a terminal and within `room` lines.

    Args:
        status: the reply of `/status`.
        width: columns of the terminal; None for a pipe, where every line is whole.
        trends: figures of earlier looks, for a column of their own.
        room: limit of lines; rows above it are counted below the table.
    """
    whole = _table(status, trends)
    if width is None or whole.columns_within(width) == whole.columns:
        table = whole
    else:  # the heading has the model already
        table = _table(status, trends, short_names=True)
    rows, lines, left_out = list(table.rows), table.lines(width), 0
    while room is not None and len(lines) > room and len(table.rows) > 1:
        left_out += min(max(1, len(lines) - room), len(table.rows) - 1)
        note = f"... {left_out} more lines: `gateway status` shows all"
        table.rows = rows[: len(rows) - left_out]
        table.notes = [note, *_notes(status)[: len(table.rows)]]
        lines = table.lines(width)
    return lines


def _table(status: Status, trends: Trends | None, *, short_names: bool = False) -> Table:
    shards = trends.shards if trends else {}
    sparks = {name: sparkline(values, _TREND_WIDTH) for name, values in shards.items()}
    return Table(
        [column for column in COLUMNS if trends or column.title != "trend"],
        list(_rows(status, sparks, short_names=short_names)),
        title=f"rerank gateway {status['version']}, up {duration(status['uptime_seconds'])}",
        notes=_notes(status),
        may_leave=LEFT_OUT,
    )


def _rows(
    status: Status, trends: Mapping[str, str], *, short_names: bool
) -> Iterator[dict[str, Any] | Heading]:
    """Yield a heading for each model, and the cells of its shards by the titles of the columns."""
    from rich.text import Text

    for model in _revisions(status):
        queue = f"  queue {model['queue']:,}" if model.get("queue") else ""
        title = Text(model["title"], style="bold")
        yield Heading(Text.assemble(title, "  ", _coloured(model["state"]), queue))
        for shard in model["shards"]:
            name = shard["name"]
            short = name.removeprefix(f"{model['name']}/") if short_names else name
            trend = Text(trends.get(name, ""), style="cyan")
            yield {**_cells(shard), "shard": f"  {short}", "trend": trend}


def _notes(status: Status) -> "list[Text]":
    """Return errors, warnings and, dimmed, notes of the shards, then errors of the last reload."""
    from rich.text import Text

    lines = [Text(line) for line in status.get("warnings", ())]
    for model in _revisions(status):
        if (model.get("calibration") or {}).get("stale"):
            lines.append(Text(f"{model['name']}: the calibration was made for other weights"))
        if model.get("waits_for_room"):
            lines.append(Text(f"{model['name']} waits for room: {model['waits_for_room']}"))
        for shard in model["shards"]:
            problems = [shard["last_error"], *shard.get("warnings", ())]
            lines += [Text(f"{shard['name']}: {line}") for line in problems if line]
            notes = shard.get("notes", ())
            lines += [Text(f"{shard['name']}: {line}", style="dim") for line in notes]
    errors = (status.get("reload", {}).get("last") or {"errors": []})["errors"]
    return [*lines, *(Text(f"the last reload failed: {line}") for line in errors)]


def _revisions(status: Status) -> Iterator[dict[str, Any]]:
    """Yield the models that serve, and those that a reload is starting or ending; with a title."""
    for model in status["models"]:
        yield {**model, "title": _title(model)}
    for note in ("coming", "leaving"):
        for model in status.get("reload", {}).get(note, ()):
            yield {**model, "title": f"{model['name']} ({note})"}


def _title(model: dict[str, Any]) -> str:
    calibration = model.get("calibration")
    notes = [
        *(["default"] if model["default"] else []),
        *([model["engine"]] if model["engine"] else []),
        *(["demonstration"] if model.get("demonstration") else []),
        *([f"calibrated {calibration['made'][:10]}"] if calibration else []),
        *([f"cleans {', '.join(model['clean_text'])}"] if model.get("clean_text") else []),
        *(f"also {alias}" for alias in model["aliases"]),
    ]
    return f"{model['name']} ({', '.join(notes)})" if notes else str(model["name"])


def _cells(shard: dict[str, Any]) -> dict[str, Any]:
    state, stage = shard["state"], shard.get("stage", "")
    return {
        "state": _coloured(f"{state} ({stage})" if stage and state != "ready" else state),
        "pid": str(shard["pid"] or "-"),
        "device": shard["device"],
        "cores": shard_cores(shard.get("cores", ()), shard.get("memory_nodes", ())),
        "dtype": shard["dtype"],
        "generation": str(shard["generation"]),
        "restarts": str(shard["restarts"]),
        "queue": str(shard["queue"]),
        "docs/s": f"{shard.get('documents_per_second', 0):.1f}",
        "p50 ms": f"{shard['p50_ms']:.1f}",
        "p95 ms": f"{shard['p95_ms']:.1f}",
        "memory": byte_size(shard["memory_bytes"]),
    }


def _coloured(state: str) -> "Text":
    from rich.text import Text

    return Text(state, style=COLOURS.get(state.partition(" ")[0], "yellow"))
