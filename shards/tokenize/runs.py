"""The runs of a prompt as a tokenizer takes them: before, around and after a document.

A chat template returns one text. The library `tokenizers` cuts a text at its special tokens before
all else. So a text may be cut there as well, and the pieces tokenized apart. A check at load, with
texts that are hard on borders, proves that the ids are the same.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from tokenizers import Tokenizer

from shards.prompts import DOCUMENT, Prompt, Run, Slot, slots_of
from shards.refusal import Refusal

Ids = Callable[[str], list[int]]
IdsOfRuns = Callable[[Sequence[Run], str, str], list[int]]


@dataclass(frozen=True, slots=True)
class Layout:
    """The runs of a prompt, seen from its document.

    Attributes:
        before: whole runs before the run with the document.
        head: the pieces before the document in its own run.
        slot: the document's slot.
        tail: the pieces after the document in its own run.
        after: whole runs after the run with the document.
    """

    before: tuple[Run, ...]
    head: Run
    slot: Slot
    tail: Run
    after: tuple[Run, ...]

    @property
    def label(self) -> str:
        """The text directly before the document."""
        return self.head[-1] if self.head and isinstance(self.head[-1], str) else ""


def layout_of(runs: Sequence[Run]) -> Layout:
    """Return the layout of runs with one slot for the document.

    Raises:
        Refusal: there is no such slot, or more than one.
    """
    if [slot.filled_by for slot in slots_of(runs)].count(DOCUMENT) != 1:
        raise Refusal("a prompt must have its document once, and this prompt has it otherwise")
    at, run = next((at, run) for at, run in enumerate(runs) if _place(run) is not None)
    place = _place(run) or 0
    slot = run[place]
    assert isinstance(slot, Slot)
    return Layout(tuple(runs[:at]), run[:place], slot, run[place + 1 :], tuple(runs[at + 1 :]))


def _place(run: Run) -> int | None:
    places = (
        at
        for at, piece in enumerate(run)
        if isinstance(piece, Slot) and piece.filled_by == DOCUMENT
    )
    return next(places, None)


def cut_at_special_tokens(runs: Sequence[Run], backend: Tokenizer) -> tuple[Run, ...]:
    """Return runs in which special tokens stand apart from the slots for clients' text."""
    added = backend.get_added_tokens_decoder().values()
    contents = sorted((token.content for token in added), key=len, reverse=True)
    if not contents:
        return tuple(runs)
    border = re.compile(f"({'|'.join(map(re.escape, contents))})")
    return tuple(made for run in runs for made in _cut(run, border))


def _cut(run: Run, border: re.Pattern[str]) -> list[Run]:
    """Cut a run at special tokens; adjacent pieces without slots stay together."""
    groups: list[list[str | Slot]] = [[]]
    for piece in run:
        parts = border.split(piece) if isinstance(piece, str) else [piece]
        for at, part in enumerate(parts):
            if at % 2:
                groups += [[part], []]
            elif part:
                groups[-1].append(part)
    cut: list[Run] = []
    for is_text, adjacent in groupby(filter(None, groups), key=_is_text):
        found = list(adjacent)
        cut += [("".join(map(str, _flat(found))),)] if is_text else map(tuple, found)
    return cut


def _is_text(group: Sequence[str | Slot]) -> bool:
    return all(isinstance(piece, str) for piece in group)


def _flat(groups: Sequence[Sequence[str | Slot]]) -> list[str | Slot]:
    return [piece for group in groups for piece in group]


_HARD = (
    *("", "a", "A cat's 12 tails.", " led by a space", "ends in one ", "\n", "\n\nlines\r\n\n"),
    *("tab\tand  two  spaces", "(brackets)", ": colon", "é\u0301 中文 ー", "Привет, Ёлка", "🙂‍🙂"),
)


def prove_runs(prompt: Prompt, runs: Sequence[Run], ids_of_runs: IdsOfRuns, ids_of: Ids) -> None:
    """Check that the runs of a prompt that is one text give the ids of that text.

    Args:
        ids_of_runs: returns the ids of runs for a query and a document.
        ids_of: returns the ids of a text in which special tokens are meant.

    Raises:
        Refusal: they do not.
    """
    for query, document in zip(_HARD, (*_HARD[5:], *_HARD[:5]), strict=True):
        text = prompt.text(query, document)
        if ids_of_runs(runs, query, document) != ids_of(text):
            raise Refusal(
                f"{prompt.name} gives other tokens in pieces than as one text, for example with "
                f"the query {query!r} and the document {document!r}: it cannot be served faithfully"
            )
