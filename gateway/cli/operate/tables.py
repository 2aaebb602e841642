"""Tables of a status below its models: splits, cascades, shadow traffic, memory, API keys."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gateway.cli.operate.formatting import byte_size
from gateway.cli.table import Column, Row, Table

Values = dict[str, Any]

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


def columns(texts: Sequence[str], numbers: Sequence[str]) -> list[Column]:
    """Return columns of texts, then those of numbers, which are justified to the right."""
    return [*map(Column, texts), *(Column(title, right=True) for title in numbers)]


def split_table(splits: Sequence[Values]) -> Table:
    """Return a line per model of each split; requests count since the start."""
    shown = columns(("split", "model"), ("share", "requests"))
    return Table(shown, [_row(shown, cells) for split in splits for cells in _split_cells(split)])


def cascade_table(cascades: Sequence[Values]) -> Table:
    """Return a line per model of each cascade; documents that it scored last, since the start."""
    shown = columns(("cascade", "model"), ("keeps", "documents"))
    rows = [_row(shown, cells) for cascade in cascades for cells in _cascade_cells(cascade)]
    return Table(shown, rows)


def shadow_table(shadows: Sequence[Values]) -> Table:
    """Return a line per model and shadow; agreement is over the requests compared so far."""
    shown = columns(_SHADOW_COLUMNS[:2], _SHADOW_COLUMNS[2:])
    return Table(shown, [_row(shown, _shadow_cells(shadow)) for shadow in shadows])


def memory_table(pools: Sequence[Values]) -> Table:
    """Return a line per pool of memory, and one per model that holds it or waits for it."""
    shown = columns(("memory", "model", "phase"), ("budget", "held"))
    return Table(shown, [_row(shown, cells) for pool in pools for cells in _memory_cells(pool)])


def key_table(keys: Sequence[Values]) -> Table:
    """Return a line per API key; all numbers but `weight` and `open` count since the start."""
    shown = columns(_KEY_TEXTS, _KEY_NUMBERS)
    return Table(shown, [_row(shown, _key_cells(key)) for key in keys])


def _memory_cells(pool: Values) -> Iterator[list[str]]:
    yield [pool["pool"], "", "", byte_size(pool["budget_bytes"]), byte_size(pool["held_bytes"])]
    for holder in pool["holders"]:
        notes = [holder["phase"], *(word for word in ("busy", "fixed") if holder[word])]
        yield ["", holder["model"], ", ".join(notes), "", byte_size(holder["bytes"])]


def _row(shown: Sequence[Column], cells: Iterable[str]) -> Row:
    return {column.title: cell for column, cell in zip(shown, cells, strict=True)}


def _split_cells(split: Values) -> Iterator[tuple[str, ...]]:
    name = f"{split['name']} (default)" if split["default"] else split["name"]
    for model in split["models"]:
        yield name, model["model"], f"{model['share']:.0%}", f"{model['requests']:,}"


def _cascade_cells(cascade: Values) -> Iterator[tuple[str, ...]]:
    name = f"{cascade['name']} (default)" if cascade["default"] else cascade["name"]
    keeps = f"best {cascade['keep']:,}"
    if cascade["within"] is not None:
        keeps += f" within {cascade['within']:g}"
    for stage, kept in (("first", "all"), ("then", keeps)):
        yield name, cascade[stage], kept, f"{cascade[f'{stage}_documents']:,}"


def _key_cells(key: Values) -> Iterator[str]:
    yield from (key["id"], key["name"])
    yield f"{key['state']} (admin)" if key["admin"] else key["state"]
    yield from (f"{key[name]:,}" for name in _KEY_NUMBERS)


def _shadow_cells(shadow: Values) -> Iterator[str]:
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
