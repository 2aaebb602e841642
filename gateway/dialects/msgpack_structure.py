"""The number of values in a MessagePack body, counted by the first bytes of its values.

Strings are skipped by their lengths, so that a body of texts takes one step for each text. A body
that ends early or is no MessagePack is counted up to there; its decoder rejects it.
"""

from gateway.dialects.structure import Structure

_SHARED_BYTES = 32  # of a key; the decoder makes one string of equal ones
_MOST_SHARED = 20_000

_STRING_SIZES = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_CONTAINER_SIZES = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
_OTHER_SIZES = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
"""Of bytes, and of extensions, whose type is one more byte."""

_FIXED = {
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
    0xD4: 2,
    0xD5: 3,
    0xD6: 5,
    0xD7: 9,
    0xD8: 17,
}
"""Bytes of numbers and of short extensions, after their first byte."""


def count_msgpack(raw: bytes, most_values: int, most_containers: int) -> Structure:
    """Count the values of a body, up to one more than so many, keys included.

    A declared size counts as values only as far as the values are there.

    Args:
        raw: the body.
        most_values: limit of all values.
        most_containers: limit of lists and objects.
    """
    at, end, expected, visited = 0, len(raw), 1, 0
    strings = lists = objects = keys = unshared = 0
    fields: int | None = None
    shared: set[bytes] = set()
    while expected and at < end and visited <= most_values:
        first = raw[at]
        at += 1
        expected -= 1
        visited += 1
        if first < 0x80 or first >= 0xE0:  # a small integer
            continue
        if 0xA0 <= first < 0xC0 or first in _STRING_SIZES:
            size = first & 0x1F
            if first >= 0xC0:
                size, at = _size(raw, at, _STRING_SIZES[first])
            strings += 1
            if size <= _SHARED_BYTES and len(shared) < _MOST_SHARED:
                shared.add(raw[at : at + size])
            else:
                unshared += 1
            at += size
        elif first < 0xA0 or first in _CONTAINER_SIZES:
            size = first & 0x0F
            if first >= 0xA0:
                size, at = _size(raw, at, _CONTAINER_SIZES[first])
            is_object = first < 0x90 or first >= 0xDE
            objects += is_object
            lists += not is_object
            if objects + lists > most_containers:
                break
            keys += size * is_object
            expected += size * (1 + is_object)
            fields = size * is_object if fields is None else fields
        elif first in _OTHER_SIZES:
            size, at = _size(raw, at, _OTHER_SIZES[first][0])
            at += size + _OTHER_SIZES[first][1]
        else:
            at += _FIXED.get(first, 0)
    keys = min(keys, strings)
    return Structure(
        objects=objects,
        lists=lists,
        strings=strings,
        keys=keys,
        distinct_keys=min(keys, len(shared) + unshared),
        values=visited - keys,
        fields=min(fields or 0, visited),
    )


def _size(raw: bytes, at: int, bytes_: int) -> tuple[int, int]:
    """Return the big-endian number at a position, and the position after it."""
    return int.from_bytes(raw[at : at + bytes_], "big"), at + bytes_
