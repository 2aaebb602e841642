"""One configuration error for the operator, and the exception that carries all of them."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

Path = tuple[str | int, ...]

SHOWN_CHARACTERS = 200
"""Limit of the characters of a wrong value that an error repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One error in the configuration.

    Attributes:
        path: the key's path, `("models", "dity", "devices")`; empty for the file as a whole.
        message: finding and allowed values.
        remedy: action for the operator.
        origin: file, environment variable or flag that set the key; empty for the defaults.
    """

    path: Path
    message: str
    remedy: str
    origin: str = ""

    @property
    def key(self) -> str:
        """The path as it is written in TOML."""
        return dotted(self.path)

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.origin, self.key) if part)
        return f"{where}: {self.message}. {self.remedy}"

    def at(self, origin: str) -> "Problem":
        """Return this problem with the origin of its key."""
        return replace(self, origin=origin)


class ConfigError(Exception):
    """The configuration cannot be served.

    Attributes:
        problems: all of them, at least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def dotted(path: Iterable[str | int]) -> str:
    """Return a key path in TOML; parts with dots or spaces are quoted."""
    return ".".join(
        f'"{part}"' if set(str(part)) & set('./ "') or part == "" else str(part) for part in path
    )


def shown(value: object) -> str:
    """Return the text of a wrong value in an error."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def likely(wrong: str, allowed: Iterable[str]) -> str:
    """Return the name that was meant, if one of `allowed` is near; else an empty text."""
    return next(iter(difflib.get_close_matches(wrong.lower(), list(allowed), n=1)), "")


def suggestion(wrong: str, allowed: Iterable[str]) -> str:
    """Return a remedy for a name that is not one of `allowed`."""
    names = sorted(allowed)
    near = likely(wrong, names)
    listed = ", ".join(names)
    return f"Did you mean {near}? Allowed: {listed}" if near else f"Allowed: {listed}"
