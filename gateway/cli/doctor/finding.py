"""Findings of an examination. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Severity of a finding."""

    GOOD = "good"
    NOTE = "note"  # it works, and could be better
    BAD = "bad"  # it keeps the gateway, or a model, from serving


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined.

    Attributes:
        name: subject in a word or two.
        found: observation.
        remedy: what to do; empty where all is good.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def good(name: str, found: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(name, State.GOOD, found)


def note(name: str, found: str, remedy: str) -> Finding:
    """Return a finding that could be better."""
    return Finding(name, State.NOTE, found, remedy)


def bad(name: str, found: str, remedy: str) -> Finding:
    """Return a finding that prevents serving."""
    return Finding(name, State.BAD, found, remedy)
