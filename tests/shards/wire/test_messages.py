"""Messages survive the wire, and nothing but messages does."""

import struct
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.wire.codecs import WireError
from shards.wire.facts import Facts
from shards.wire.messages import (
    KINDS,
    MAX_JOB_DOCUMENTS,
    MAX_VECTOR_BYTES,
    Message,
    Score,
    Scores,
    Vectors,
    decode,
    encode,
    in_packets,
)

_TEXT = st.text(st.characters(codec="utf-8"))
_U32 = st.integers(0, 2**32 - 1)
_BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    str: _TEXT,
    bytes: st.binary(),
    tuple[int, ...]: st.lists(_U32).map(tuple),
    tuple[float, ...]: st.lists(st.floats(width=32, allow_nan=False)).map(tuple),
    tuple[str, ...]: st.lists(_TEXT).map(tuple),
}


def _messages(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, *[_BY_TYPE[hints[field.name]] for field in fields(kind)])


_BY_TYPE[Facts] = _messages(Facts)


_ANY = st.one_of([_messages(kind) for kind in KINDS.values()])


@given(_ANY)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.binary())
def test_bytes_that_are_no_message_raise_nothing_but_wire_error(data: bytes) -> None:
    try:
        message = decode(data)
    except WireError:
        return
    assert type(message) in KINDS.values()


@given(_ANY, st.data())
def test_a_damaged_message_raises_nothing_but_wire_error(message: Message, data: Any) -> None:
    damaged = bytearray(encode(message))
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(damaged))
    except WireError:
        return


@given(_ANY, st.data())
def test_a_cut_message_is_refused(message: Message, data: Any) -> None:
    whole = encode(message)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(WireError):
        decode(whole[:cut])


def test_bytes_behind_a_message_are_refused() -> None:
    with pytest.raises(WireError, match="1 bytes too many"):
        decode(encode(Score(1, 2, 0, "", ("q",), ("d",))) + b"\0")


def _announce_scores(count: int) -> bytes:
    (kind,) = (number for number, message in KINDS.items() if message is Scores)
    return bytes((kind,)) + struct.pack("<qI", 1, count)


@pytest.mark.parametrize("announce", [_announce_scores])
def test_a_huge_count_is_refused_before_anything_is_allocated(
    announce: Callable[[int], bytes],
) -> None:
    with pytest.raises(WireError, match="4294967295 values announced"):
        decode(announce(2**32 - 1))


def test_text_that_is_not_utf8_is_refused() -> None:
    whole = encode(Score(1, 2, 0, "", ("q",), ("dd",)))
    with pytest.raises(WireError, match="not UTF-8"):
        decode(whole.replace(b"dd", b"d\xff"))


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("times", [0, 1, 3])
def test_an_answer_with_many_vectors_is_cut_into_packets(times: int, extra: int) -> None:
    data = bytes(number % 251 for number in range(max(0, times * MAX_VECTOR_BYTES + extra)))
    each = (0.5,) * MAX_JOB_DOCUMENTS
    counts = (1,) * MAX_JOB_DOCUMENTS
    scores = Scores(7, each, counts, counts, 3, 0, 0, vectors=data)
    *first, last = in_packets(scores)
    assert all(isinstance(message, Vectors) and message.job == 7 for message in first)
    assert isinstance(last, Scores)
    assert (
        b"".join([message.data for message in first if isinstance(message, Vectors)])
        + (last.vectors)
        == data
    )
    assert all(len(encode(message)) < 60_000 for message in (*first, last))
