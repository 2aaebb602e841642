"""The table of `gateway status`: a line per model, one per shard, and their problems below."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from gateway.cli.operate.formatting import byte_size, duration, shard_cores
from gateway.cli.operate.trends import Trends, sparkline

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Status = dict[str, Any]
Column = tuple[str, Literal["left", "right"]]
"""Title and justification of a column."""

COLOURS = {"ready": "green", "degraded": "yellow", "failed": "red", "backoff": "red"}

COLUMNS: tuple[Column, ...] = (
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

TREND: Column = ("trend", "left")
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


def render(
    status: Status,
    columns: Sequence[Column] = COLUMNS,
    trends: Mapping[str, str] | None = None,
    most_rows: int | None = None,
) -> "Table":
    """Return the table: a line per model, below it one per shard, and the problems at the end.

    Args:
        status: the reply of `/status`.
        columns: titles, and how they are justified.
        trends: cells of the column `trend` by the name of the shard.
        most_rows: limit of lines; lines above it are counted below the table.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    title = f"rerank gateway {status['version']}, up {duration(status['uptime_seconds'])}"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, overflow="fold")
    rows = list(_rows(status, trends or {}))
    for row in rows[:most_rows]:
        table.add_row(*(row.get(name, "") for name, _ in columns))
    notes = _notes(status)
    if most_rows is not None and len(rows) > most_rows:
        left_out = f"{len(rows) - most_rows} more lines: `gateway status` shows all"
        notes = [Text(f"... {left_out}"), *notes[:most_rows]]
    if notes:
        table.caption = Text("\n").join(notes)
        table.caption_justify = "left"
    return table


def fitted(status: Status, trends: Trends, out: "Console", room: int) -> "Table":
    """Return the table in the width of a terminal and within `room` lines."""
    sparks = {name: sparkline(values, _TREND_WIDTH) for name, values in trends.shards.items()}
    columns = list(COLUMNS)
    columns.insert([name for name, _ in columns].index("docs/s") + 1, TREND)
    for name in ("", *LEFT_OUT):
        columns = [column for column in columns if column[0] != name]
        table = render(status, columns, sparks)
        if out.measure(table, options=out.options.update(width=1000)).maximum <= out.width:
            break
    most = table.row_count
    while most > 1 and len(out.render_lines(table)) > room:
        most -= max(1, min(len(out.render_lines(table)) - room, most - 1))
        table = render(status, columns, sparks, most_rows=most)
    return table


def _rows(status: Status, trends: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the cells of each line by the titles of their columns."""
    from rich.text import Text

    for model in _revisions(status):
        yield {
            "shard": Text(model["title"], style="bold"),
            "state": _coloured(model["state"]),
            "queue": str(model["queue"]) if model.get("queue") else "",
        }
        for shard in model["shards"]:
            yield {**_cells(shard), "trend": Text(trends.get(shard["name"], ""), style="cyan")}


def _notes(status: Status) -> "list[Text]":
    """Return errors, warnings and, dimmed, notes of the shards, then errors of the last reload."""
    from rich.text import Text

    lines: list[Text] = []
    for model in _revisions(status):
        if (model.get("calibration") or {}).get("stale"):
            lines.append(Text(f"{model['name']}: the calibration was made for other weights"))
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
        *(f"also {alias}" for alias in model["aliases"]),
    ]
    return f"{model['name']} ({', '.join(notes)})" if notes else str(model["name"])


def _cells(shard: dict[str, Any]) -> dict[str, Any]:
    state, stage = shard["state"], shard.get("stage", "")
    return {
        "shard": f"  {shard['name']}",
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
