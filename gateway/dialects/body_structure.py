"""The number of values in a body, counted and limited before the body is decoded.

A value of two bytes can become an object of two hundred. A body that would take more than a few
times its own size in memory is refused, and so is one with too many lists and objects for the
checks that walk them. A body of at most `UNCHECKED_BYTES` cannot do harm and is not counted.

Most bodies are texts. Four counts of single bytes, which take less time than decoding, show that a
body is harmless even if all these bytes were structure; only another body is counted exactly.
"""

import re

from gateway.dialects.media_types import MediaType
from gateway.dialects.msgpack_structure import count_msgpack
from gateway.dialects.structure import Structure
from gateway.domain.errors import MalformedBody

UNCHECKED_BYTES = 64 * 1024

MOST_VALUES = 400_000
MOST_CONTAINERS = 100_000
MOST_FIELDS = 1_000
"""Limits of all values in a body, keys included, of lists and objects, and of top-level fields."""

_TIMES = 6  # decoded values may take so many times the bytes of a body
_LEAST_BYTES = 2 * 1024 * 1024  # a smaller body counts as this
_TOP_LEVEL_BYTES = 150  # of a top-level field, beside its value

_CHUNK = 64 * 1024
_BRACKET = re.compile(rb"[\[\]{}]")


def check_structure(raw: bytes, media_type: MediaType) -> None:
    """Reject a body with more values than its size allows.

    Raises:
        MalformedBody: the message has the counts and the limits.
    """
    if len(raw) <= UNCHECKED_BYTES:
        return
    most = _TIMES * max(len(raw), _LEAST_BYTES)
    if media_type is MediaType.JSON:
        if _is_harmless(raw, most):
            return
        found = _count_json(raw, most)
    else:
        found = count_msgpack(raw, MOST_VALUES, MOST_CONTAINERS)
    _check(found, most)


def _check(found: Structure, most_bytes: int) -> None:
    if found.values + found.keys > MOST_VALUES:
        raise MalformedBody(
            f"the body has more than {MOST_VALUES} values: send the documents in several requests"
        )
    if found.containers > MOST_CONTAINERS:
        raise MalformedBody(
            f"the body is nested too deeply, or has more than {MOST_CONTAINERS} lists and objects: "
            "send plain lists of documents"
        )
    if found.cost > most_bytes:
        raise MalformedBody(
            f"the body is too small for its {found.values} values: they would take {found.cost} "
            f"bytes of memory, the limit is {most_bytes}: send fewer fields, or the documents in "
            "several requests"
        )
    if found.fields > MOST_FIELDS:
        raise MalformedBody(
            f"the body has {found.fields} fields, the limit is {MOST_FIELDS}: send those of the API"
        )


def _is_harmless(raw: bytes, most_bytes: int) -> bool:
    """Return true if a JSON body is within all limits even if its texts were structure."""
    objects, lists, colons = raw.count(b"{"), raw.count(b"["), raw.count(b":")
    found = Structure(
        objects=objects,
        lists=lists,
        strings=raw.count(b'"') // 2,
        keys=colons,
        distinct_keys=colons,
        values=raw.count(b",") + objects + lists,
    )
    return _is_within(found, most_bytes)


def _count_json(raw: bytes, most_bytes: int) -> Structure:
    """Count the values of JSON. Of invalid JSON the part before the error is counted."""
    # Without pairs of backslashes and without escaped quotes, each quote opens or closes a string.
    text = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside, quotes, distinct = [], 0, 0
    for start in range(0, len(text), _CHUNK):
        parts = text[start : start + _CHUNK].split(b'"')
        is_inside = quotes % 2
        outside.append(b"".join(parts[is_inside::2]))
        distinct += len(set(parts[1 - is_inside :: 2]))
        quotes += len(parts) - 1
    marks = b"".join(outside)
    objects, lists, colons = marks.count(b"{"), marks.count(b"["), marks.count(b":")
    found = Structure(
        objects=objects,
        lists=lists,
        strings=quotes // 2,
        keys=colons,
        distinct_keys=min(colons, distinct),
        values=marks.count(b",") + objects + lists,
    )
    if not _is_within(found, most_bytes) and found.containers <= MOST_CONTAINERS:
        found.fields = _top_level_fields(marks)
    return found


def _is_within(found: Structure, most_bytes: int) -> bool:
    """Return whether a body is within all limits even if all its keys are top-level fields."""
    if found.containers > MOST_CONTAINERS or found.values + found.keys > MOST_VALUES:
        return False
    return found.cost + _TOP_LEVEL_BYTES * found.keys <= most_bytes


def _top_level_fields(marks: bytes) -> int:
    """Return the number of colons in one pair of braces."""
    fields = level = last = 0
    for found in _BRACKET.finditer(marks):
        if level == 1:
            fields += marks.count(b":", last, found.start())
        level += 1 if found[0] in b"{[" else -1
        last = found.end()
    return fields
