"""Tables of a status below its models: traffic splits, cascades, shadow traffic, API keys."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, Any]

_SHADOW_COLUMNS = (
    "model",
    "shadow",
    "percent",
    "compared",
    "dropped",
    "failed",
    "requests",
    "tau",
    "same best",
    "overlap@10",
    "time",
)
_KEY_TEXTS = ("key", "name", "state")
_KEY_NUMBERS = ("weight", "open", "requests", "refused", "documents", "tokens")


def split_table(splits: Sequence[Row]) -> "Table":
    """Return a line per model of each split; requests count since the start."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table("split", "model", box=SIMPLE_HEAD, pad_edge=False)
    for title in ("share", "requests"):
        table.add_column(title, justify="right")
    for split in splits:
        name = f"{split['name']} (default)" if split["default"] else split["name"]
        for model in split["models"]:
            cells = (name, model["model"], f"{model['share']:.0%}", f"{model['requests']:,}")
            table.add_row(*map(Text, cells))
            name = ""
    return table


def cascade_table(cascades: Sequence[Row]) -> "Table":
    """Return a line per model of each cascade; documents that it scored last, since the start."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table("cascade", "model", box=SIMPLE_HEAD, pad_edge=False)
    for title in ("keeps", "documents"):
        table.add_column(title, justify="right")
    for cascade in cascades:
        name = f"{cascade['name']} (default)" if cascade["default"] else cascade["name"]
        keeps = f"best {cascade['keep']:,}"
        if cascade["within"] is not None:
            keeps += f" within {cascade['within']:g}"
        for stage, kept in (("first", "all"), ("then", keeps)):
            cells = (name, cascade[stage], kept, f"{cascade[f'{stage}_documents']:,}")
            table.add_row(*map(Text, cells))
            name = ""
    return table


def shadow_table(shadows: Sequence[Row]) -> "Table":
    """Return a line per model and shadow; agreement is over the requests compared so far."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, title in enumerate(_SHADOW_COLUMNS):
        table.add_column(title, justify="left" if number < 2 else "right", overflow="fold")
    for shadow in shadows:
        table.add_row(*map(Text, _shadow_cells(shadow)))
    return table


def key_table(keys: Sequence[Row]) -> "Table":
    """Return a line per API key; all numbers but `weight` and `open` count since the start."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(*_KEY_TEXTS, box=SIMPLE_HEAD, pad_edge=False)
    for title in _KEY_NUMBERS:
        table.add_column(title, justify="right")
    for key in keys:
        state = f"{key['state']} (admin)" if key["admin"] else key["state"]
        cells = (key["id"], key["name"], state, *(f"{key[name]:,}" for name in _KEY_NUMBERS))
        table.add_row(*map(Text, cells))
    return table


def _shadow_cells(shadow: Row) -> Iterator[str]:
    agreement = shadow["agreement"]
    yield from (shadow["model"], shadow["shadow"], f"{shadow['percent']:g} %")
    yield from (str(shadow[name]) for name in ("compared", "dropped", "failed"))
    yield str(agreement["requests"])
    yield _cell(agreement["tau"], ".3f")
    yield _cell(agreement["top1"], ".1%")
    yield _cell(agreement["overlap"], ".1%")
    yield _cell(agreement["latency_ratio"], ".2f", "x")


def _cell(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"
