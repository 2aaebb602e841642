"""What `gateway status` shows of the splits: which models stand behind a name, and who got what."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def split_table(found: Sequence[dict[str, Any]]) -> "Table":
    """Return a line per model of each split; requests count since the start."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table("split", "model", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("share", "requests"):
        table.add_column(name, justify="right")
    for split in found:
        name = f"{split['name']} (default)" if split["default"] else split["name"]
        for one in split["models"]:
            cells = (name, one["model"], f"{one['share']:.0%}", f"{one['requests']:,}")
            table.add_row(*map(Text, cells))
            name = ""
    return table
