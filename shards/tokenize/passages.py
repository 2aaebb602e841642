"""The cuts of a long document into passages that overlap. Pure.

A passage holds at most a window of tokens. It ends where a reader would stop, in the last quarter
of the window: at the last end of a paragraph, else of a sentence, else of a line, else of a word;
in text that has none of these, at the window itself. The next passage starts at such a place inside
the overlap before that end. Passages are spans of characters, so each is a text of its own, scored
as if the client had sent it alone.

Every pattern examines a character a bounded number of times in any text.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

Span = tuple[int, int]
"""Start and end in a text, in characters (code points), the end left out."""

_BREAKS = (
    re.compile(r"\n[^\S\n]*\n\s*"),
    re.compile(r"(?<=[.!?…])\s+|(?<=[.!?…][\"'»”’)\]])\s+|(?<=[。！？｡])\s*"),
    re.compile(r"\n\s*"),
    re.compile(r"\s+"),
)
"""The gaps between paragraphs, sentences, lines and words: the best place to cut comes first."""

_SEARCHED_SHARE = 4  # the last quarter of a window
_LARGEST_OVERLAP_SHARE = 2  # half a window, so that each passage brings a quarter of new text


def cut(text: str, starts: Sequence[int], *, window: int, overlap: int) -> list[Span]:
    """Return the passages of a document, in order, without the white space around them.

    Args:
        text: the document.
        starts: the character at which each of its tokens begins, in order.
        window: the most tokens of a passage, at least 8.
        overlap: the most tokens that a passage shares with the passage before; at most half a
            window.
    """
    overlap = min(overlap, window // _LARGEST_OVERLAP_SHARE)
    spans: list[Span] = []
    start = end = 0
    while end < len(text):
        first = max(0, bisect_right(starts, start) - 1)
        end = _end(text, starts, start, first, window)
        if span := _trimmed(text, start, end):
            spans.append(span)
        start = _next_start(text, starts, start, end, overlap)
    return spans or [(0, 0)]


def halves(text: str, span: Span) -> list[Span]:
    """Cut a passage in two, near its middle."""
    start, end = span
    middle = _last_break(text, start + max(1, (end - start) // 4), (start + end + 1) // 2)
    return [part for part in (_trimmed(text, start, middle), _trimmed(text, middle, end)) if part]


def _end(text: str, starts: Sequence[int], start: int, first: int, window: int) -> int:
    if first + window >= len(starts):
        return len(text)
    searched = starts[first + window - window // _SEARCHED_SHARE]
    end = _last_break(text, max(start, searched), starts[first + window])
    return max(end, start + 1)


def _next_start(text: str, starts: Sequence[int], start: int, end: int, overlap: int) -> int:
    """Return the start of the passage after [start, end); it is always later than `start`."""
    if end == len(text) or not overlap:
        return end
    shared = starts[max(0, bisect_left(starts, end) - overlap)]
    found = _first_break(text, shared, end)
    return found if found > start else end


def _last_break(text: str, low: int, high: int) -> int:
    for pattern in _BREAKS:
        last = low
        for match in pattern.finditer(text, low, high):
            last = match.end()
        if last > low:
            return last
    return high


def _first_break(text: str, low: int, high: int) -> int:
    for pattern in _BREAKS:
        for match in pattern.finditer(text, low, high):
            if match.end() < high:
                return match.end()
            break
    return low


def _trimmed(text: str, start: int, end: int) -> Span | None:
    """Return the span without the white space at its ends; `None` if nothing is left."""
    inner = text[start:end]
    kept = inner.strip()
    if not kept:
        return None
    start += len(inner) - len(inner.lstrip())
    return start, start + len(kept)
