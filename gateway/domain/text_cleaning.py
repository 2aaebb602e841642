"""The cleaning of texts before they are scored. Pure.

A cleaner is a list of steps; a step finds what it replaces in a text. Cleaners run in the order of
`CLEANERS`, as one of them makes work for the next. Steps take time in proportion to the text, and
search a bounded part of it at once, so that other threads go on meanwhile.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Literal, TypeAlias

from gateway.domain.markup import Edit, without_markup

Cleaner: TypeAlias = Literal["html", "zero-width", "nfkc"]
"""A name of `CLEANERS`."""

Step: TypeAlias = Callable[[str], Iterator[Edit]]
"""A function from a text to its edits, in order, which do not overlap."""

_PART = 32_768  # characters that are searched at once
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f"  # controls, but for white space
    "\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
    "|(?<=[\x00-\x7f])[\u200c\u200d]"  # elsewhere they are spelling: Persian, Hindi, emoji
)
# ASCII, most of Cyrillic, kana, ideographs and Hangul: none of them changes by itself, or composes
# with a character before it. So texts are cut before them, and what follows one may change it.
_BASES = "\x00-\x7f\u0400-\u0482\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
_BASE = re.compile(f"[{_BASES}]")
_COMPOSED = re.compile(f"[{_BASES}]?[^{_BASES}]+")


def _parts(text: str) -> Iterator[tuple[int, int]]:
    """Yield the bounds of parts that may be searched apart."""
    start = 0
    while start < len(text):
        found = _BASE.search(text, start + _PART)
        end = found.start() if found else len(text)
        yield start, end
        start = end


def _replaced(
    pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str], text: str
) -> Iterator[Edit]:
    for start, end in _parts(text):
        for found in pattern.finditer(text, start, end):
            if (made := replace(found)) != found.group():
                yield found.start(), found.end(), made


def _referenced(text: str) -> Iterator[Edit]:
    at = text.find("&")
    while at >= 0:
        found = _REFERENCE.match(text, at)
        made = html.unescape(found.group()).replace("\u00a0", " ") if found else ""
        if found and made != found.group():
            yield at, found.end(), made
        at = text.find("&", found.end() if found else at + 1)


def _nothing(_: re.Match[str]) -> str:
    return ""


def _normalized(found: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", found.group())


CLEANERS: dict[Cleaner, tuple[Step, ...]] = {
    "html": (without_markup, _referenced),
    "zero-width": (partial(_replaced, _INVISIBLE, _nothing),),
    "nfkc": (partial(_replaced, _COMPOSED, _normalized),),
}
"""All cleaners, in the order in which they run."""


def cleaned(text: str, cleaners: Collection[Cleaner]) -> str:
    """Return a text as these cleaners leave it."""
    for step in _steps(cleaners):
        text = _applied(step, text)
    return text


def source_span(text: str, cleaners: Collection[Cleaner], span: tuple[int, int]) -> tuple[int, int]:
    """Return the characters of `text` from which some characters of the cleaned text were made.

    Args:
        text: the text before it is cleaned.
        cleaners: the names of the cleaners.
        span: the first character of the cleaned text, and the one behind the last.
    """
    steps = _steps(cleaners)
    before = [text]
    for step in steps:
        before.append(_applied(step, before[-1]))
    first, last = span[0], max(span[0], span[1] - 1)
    for step, whole in reversed(list(zip(steps, before, strict=False))):
        first, last = _source(step, whole, first)[0], _source(step, whole, last)[1] - 1
    return first, last + 1 if span[1] > span[0] else first


def _steps(cleaners: Collection[Cleaner]) -> list[Step]:
    return [step for name, steps in CLEANERS.items() if name in cleaners for step in steps]


def _applied(step: Step, text: str) -> str:
    pieces: list[str] = []
    end = 0
    for start, behind, made in step(text):
        pieces += (text[end:start], made)
        end = behind
    return "".join((*pieces, text[end:])) if pieces else text


def _source(step: Step, text: str, position: int) -> tuple[int, int]:
    """Return the characters of `text` from which the one at `position` was made."""
    removed = 0
    for start, end, made in step(text):
        if position < start - removed:
            break
        if position < start - removed + len(made):
            return start, end
        removed += end - start - len(made)
    return position + removed, position + removed + 1
