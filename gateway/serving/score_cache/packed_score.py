"""The score of one pair in 21 bytes, without the place and the calibration of a request. Pure."""

from struct import Struct

from gateway.domain.request import Scored, Source

_LAYOUT = Struct("<fIIIIB")  # a margin is fp32 on the wire: its bits are kept
_TRUNCATED, _HAS_SPAN = 1, 2


def pack(scored: Scored) -> bytes:
    """Return the part of a document's score that belongs to its pair."""
    start, end = scored.span or (0, 0)
    flags = _TRUNCATED * scored.truncated | _HAS_SPAN * (scored.span is not None)
    return _LAYOUT.pack(scored.margin, scored.tokens, scored.passages, start, end, flags)


def unpack(packed: bytes, source: Source = "memory") -> Scored:
    """Return the score in these bytes, as that of a first document, and from this source.

    Raises:
        struct.error: they have another length.
    """
    margin, tokens, passages, start, end, flags = _LAYOUT.unpack(packed)
    span = (start, end) if flags & _HAS_SPAN else None
    truncated = bool(flags & _TRUNCATED)
    return Scored(0, margin, tokens, truncated, passages, span, source=source)
