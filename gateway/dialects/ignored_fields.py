"""Names of fields without effect: the warning about them, and the field that was probably meant."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from gateway.dialects.request_body import DOCUMENT_FIELDS, IGNORED_FIELDS

# A body may have a million names of any length; only so much of them is looked at.
_MOST_NAMES = 10
_MOST_CHARACTERS = 40

_SHORTEST_PREFIX = 3
_SIMILARITY = 0.75


def warning_of(names: Sequence[str], known: frozenset[str], sent: frozenset[str]) -> str:
    """Return the warning about fields without effect.

    Args:
        names: these fields, at least one.
        known: the fields that have an effect.
        sent: those of them that the request has.
    """
    shown = [_with_hint(name, known, sent) for name in names[:_MOST_NAMES]]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"fields without effect: {', '.join(shown)}{more}"


def hint_for(param: str | None, names: Sequence[str], known: frozenset[str]) -> str:
    """Return a hint for an error about a missing field: the field that was sent instead of it."""
    for name in names[:_MOST_NAMES]:
        if param and intended(name, known) == param:
            return f"{_shown(name)} was sent: did you mean {param}?"
    return ""


def intended(name: str, known: frozenset[str]) -> str | None:
    """Return the known field that another one probably means, if there is one."""
    if name in IGNORED_FIELDS:
        return None
    if name in DOCUMENT_FIELDS:
        return next((field for field in DOCUMENT_FIELDS if field in known), None)
    by_letters = {_letters(field): field for field in sorted(known, reverse=True)}
    letters = _letters(name)
    stem = letters.rstrip("s")
    if len(stem) >= _SHORTEST_PREFIX:
        for other, field in by_letters.items():
            if other.startswith(stem):
                return field
    near = get_close_matches(letters, by_letters, n=1, cutoff=_SIMILARITY)
    return by_letters[near[0]] if near else None


def _with_hint(name: str, known: frozenset[str], sent: frozenset[str]) -> str:
    meant = intended(name, known)
    is_hint = meant is not None and meant not in sent
    return f"{_shown(name)} (did you mean {meant}?)" if is_hint else _shown(name)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name[:_MOST_CHARACTERS].lower())


def _shown(name: str) -> str:
    return ascii(name[:_MOST_CHARACTERS])  # a header must not contain control characters
