"""The table of `gateway status --watch`, cut to the terminal: fewer columns first, then fewer lines."""

from typing import TYPE_CHECKING, Any

from gateway.cli.status import COLUMNS, render
from gateway.cli.trends import Trends, sparkline

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

TREND = ("trend", "left")
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
"""Columns that a narrow terminal does without, the first one first."""

_TREND_COLUMNS = 12


def fitted(found: dict[str, Any], trends: Trends, out: "Console", room: int) -> "Table":
    """Return the table for the terminal as it is now; `room` is how many lines it may take."""
    sparks = {name: sparkline(values, _TREND_COLUMNS) for name, values in trends.shards.items()}
    columns = list(COLUMNS)
    columns.insert([name for name, _ in columns].index("docs/s") + 1, TREND)
    for name in ("", *LEFT_OUT):
        columns = [column for column in columns if column[0] != name]
        table = render(found, columns, sparks)
        if out.measure(table, options=out.options.update(width=1000)).maximum <= out.width:
            break
    most = table.row_count
    while most > 1 and len(out.render_lines(table)) > room:
        most -= max(1, min(len(out.render_lines(table)) - room, most - 1))
        table = render(found, columns, sparks, most_rows=most)
    return table
