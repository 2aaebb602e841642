"""Instructions by name: `@legal` means the text that the configuration has under `legal`. Pure.

Without a table of names every instruction is a text, whatever it begins with.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches

_NAMED = re.compile(r"@[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SHOWN = 10


class UnknownInstruction(Exception):
    """A name that no instruction has; the message names those that are similar."""


def instruction_of(text: str, table: Mapping[str, str]) -> str:
    """Return the text of an instruction, which may be `@` and a name.

    Raises:
        UnknownInstruction: the table has no such name.
    """
    if not table or not _NAMED.fullmatch(text):
        return text
    name = text[1:]
    if name in table:
        return table[name]
    close = get_close_matches(name, table, n=1) or get_close_matches(name.lower(), table, n=1)
    known = ", ".join(f"@{each}" for each in sorted(table)[:_SHOWN])
    hint = f"did you mean @{close[0]}?" if close else f"there are {known}"
    raise UnknownInstruction(f"there is no instruction {text}: {hint}")
