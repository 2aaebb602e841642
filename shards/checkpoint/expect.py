"""Values of a checkpoint's files, read by name; a value of another type is refused by name."""

from collections.abc import Collection, Mapping
from typing import Any

from shards.refusal import Refusal

MOST = 1 << 40


class File:
    """A JSON object of a checkpoint, with the name of its file for messages."""

    def __init__(self, name: str, content: Mapping[str, Any]) -> None:
        self.name = name
        self.content = content

    def refuse(self, key: str, expected: str) -> Refusal:
        """Return a refusal of a key's value."""
        value = repr(self.content.get(key))
        shown = value if len(value) <= 60 else f"{value[:57]}..."
        return Refusal(f"{self.name}: {key} is {shown}, {expected} is expected")

    def __contains__(self, key: str) -> bool:
        return self.content.get(key) is not None

    def text(self, key: str, usual: str = "") -> str:
        """Return a string; `usual` where the key is absent or null."""
        value = self.content.get(key)
        if value is not None and not isinstance(value, str):
            raise self.refuse(key, "a text")
        return usual if value is None else value

    def flag(self, key: str, usual: bool) -> bool:
        """Return a truth value; `usual` where the key is absent or null."""
        value = self.content.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.refuse(key, "true or false")
        return usual if value is None else value

    def count(self, key: str, *, least: int = 1, most: int = MOST) -> int | None:
        """Return a whole number; `None` where the key is absent or null."""
        value = self.content.get(key)
        if value is None:
            return None
        if type(value) is not int or not least <= value <= most:
            raise self.refuse(key, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, usual: float) -> float:
        """Return a positive number; `usual` where the key is absent or null."""
        value = self.content.get(key)
        if value is None:
            return usual
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            raise self.refuse(key, "a positive number")
        return float(value)

    def object(self, key: str) -> "File":
        """Return a nested object; an empty one where the key is absent or null."""
        value = self.content.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.refuse(key, "an object")
        return File(f"{self.name}: {key}", value or {})

    def choice(self, key: str, choices: Collection[str], usual: str) -> str:
        """Return one of some texts; `usual` where the key is absent or null."""
        value = self.text(key, usual)
        if value not in choices:
            raise self.refuse(key, f"one of {', '.join(sorted(choices))}")
        return value

    def expect_keys(self, known: Collection[str]) -> None:
        """Refuse keys that are not known: they may change scores."""
        unknown = sorted(set(self.content) - set(known))
        if unknown:
            keys = ", ".join(unknown)
            raise Refusal(
                f"{self.name} has {keys}, which may change scores and {_is_or_are(unknown)} not "
                "known here: it cannot be served faithfully"
            )


def _is_or_are(names: Collection[str]) -> str:
    return "is" if len(names) == 1 else "are"
