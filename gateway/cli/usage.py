"""What `gateway status` shows of the keys: what each is for, and what it has used."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

TEXTS = ("key", "name", "state")
NUMBERS = ("weight", "open", "requests", "refused", "documents", "tokens")


def key_table(keys: list[dict[str, Any]]) -> "Table":
    """Return the table; the numbers but `weight` and `open` count since the start."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(*TEXTS, box=SIMPLE_HEAD, pad_edge=False)
    for name in NUMBERS:
        table.add_column(name, justify="right")
    for one in keys:
        state = f"{one['state']} (admin)" if one["admin"] else one["state"]
        cells = (one["id"], one["name"], state, *(f"{one[name]:,}" for name in NUMBERS))
        table.add_row(*map(Text, cells))
    return table
