"""What gateway and shard say to each other, and how it looks as bytes.

Every message is a frozen dataclass, grouped by receiver, and is encoded field by field in the order
of its declaration: one byte for the kind, then each field by the codec of its type. There is no
pickle and no self-describing format: a shard that has gone mad can send nothing that the gateway
would execute, allocate without bound, or read past the end of. Whatever does not decode raises
`WireError`, and nothing else.

    int               8 bytes, signed              tuple[int, ...]    count u32, then u32 each
    bool              1 byte                       tuple[float, ...]  count u32, then f32 each
    str               length u32, UTF-8            tuple[str, ...]    count u32, lengths u32, UTF-8

All numbers are little-endian. Margins are f32 because that is what a model computes.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any, NamedTuple, get_type_hints

MAX_JOB_DOCUMENTS = 1024
"""The most documents of one job, so that every reply fits one control packet."""

MAX_JOB_BYTES = 2 * 1024 * 1024
"""The most bytes of text in one job (a single document with its query may reach it, not pass)."""


DOCUMENT_TOO_LONG = "document_too_long"
"""The code of `Failed` for a document that would have to be cut and must not be."""

ENGINE_ERROR = "engine_error"
"""The code of `Failed` for a pair, or a job, at which the engine raised."""

INVALID_SCORE = "invalid_score"
"""The code of `Failed` for a pair whose margin is not a finite number."""


class WireError(Exception):
    """The bytes are not a message: the peer is broken and must not be listened to any more."""


# -- to the shard ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Score:
    """Score these pairs. `queries` holds one query, or one per document.

    `deadline_ns` is CLOCK_MONOTONIC, the same for all processes of a machine;
    `max_document_tokens` 0 means the model's own limit; `instruction` "" the model's default.
    A document that is too long loses its end, or its start with `keep_end`; with
    `refuse_truncation` the job fails with the code `DOCUMENT_TOO_LONG` instead. With `in_passages`
    it is read in passages: at most `most_passages` (0: all), of at most `passage_tokens` (0: as many
    as fit) with `passage_overlap` in common; its margin is the mean of the `pool_best` best (0: all).
    """

    job: int
    deadline_ns: int
    max_document_tokens: int
    instruction: str
    queries: tuple[str, ...]
    documents: tuple[str, ...]
    keep_end: bool = False
    refuse_truncation: bool = False
    in_passages: bool = False
    most_passages: int = 0
    passage_tokens: int = 0
    passage_overlap: int = 0
    pool_best: int = 1


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for this job any more. It is still answered, with `Failed`."""

    job: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Finish what you have, then end."""


# -- to the gateway --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stage:
    """How far a start has come: `loading` or `warming`, and a line for the operator."""

    stage: str
    detail: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded and warm; what it turned out to be.

    `prompt_tokens` is what a pair of empty strings takes. `doubts` are those of the `warnings` that
    concern the scores: what was guessed, and what could not be done as the checkpoint says. `weights`
    changes when a file of the checkpoint does; it is empty where there are none.
    """

    engine: str
    device: str
    dtype: str
    prompt_tokens: int
    max_length: int
    token_budget: int
    activation: str
    uses_instruction: bool
    demonstration: bool
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    weights: str = ""


@dataclass(frozen=True, slots=True)
class Scores:
    """The answer to a job: one margin and one token count per document, in order.

    `truncated` holds the indices of cut documents. `computed_tokens` counts padding too;
    `saved_tokens` were not computed, because pairs share them. Where the
    job asked for passages, `passages` counts those of each document, and `starts` and `ends` are the
    characters of its best one; otherwise the three are empty. The last five tell of the
    batches that the shard has computed since its last answer, for whomever: computed pairs, tokens
    and microseconds of each, and how many parts of prefixes were kept from before, and were not. `queue_ns` is
    the time in the shard before the first batch, `encode_ns` the part of it that the tokenizer took.
    """

    job: int
    margins: tuple[float, ...]
    tokens: tuple[int, ...]
    truncated: tuple[int, ...]
    computed_tokens: int
    queue_ns: int
    compute_ns: int
    passages: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    batch_pairs: tuple[int, ...] = ()
    batch_tokens: tuple[int, ...] = ()
    batch_us: tuple[int, ...] = ()
    saved_tokens: int = 0
    prefix_hits: int = 0
    prefix_misses: int = 0
    encode_ns: int = 0

    @property
    def batches(self) -> Iterator[tuple[int, int, int]]:
        """Pairs, tokens and microseconds of each batch that it tells of."""
        return zip(self.batch_pairs, self.batch_tokens, self.batch_us, strict=True)


@dataclass(frozen=True, slots=True)
class Failed:
    """The job has no scores.

    `document` is the place in the job of the document at fault, and `code` a key of
    `gateway.faults.FAULTS`; where there is none, -1 and a key of `gateway.replica.FAILURES`.
    `computed_tokens` were computed for it in vain, padding included.
    """

    job: int
    code: str
    message: str
    document: int = -1
    computed_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """The shard ends now, because its spec cannot be served."""

    exit_code: int
    message: str


@dataclass(frozen=True, slots=True)
class Canary:
    """What known pairs have scored: all after a load, some of them now and then.

    A shard with `findings` ends. `fingerprint` is of weights, prompt and pairs; it is empty where the
    margins need not be remembered. `spread` holds the mean margin of right documents less that of
    wrong ones, or nothing where order was not asked for.
    """

    mode: str
    after_load: bool
    fingerprint: str
    dtype: str
    margins: tuple[float, ...]
    spread: tuple[float, ...]
    findings: tuple[str, ...]
    microseconds: int


Message = Score | Cancel | Stop | Stage | Ready | Scores | Failed | Refused | Canary

KINDS: dict[int, type[Message]] = {
    1: Score,
    2: Cancel,
    3: Stop,
    16: Stage,
    17: Ready,
    18: Scores,
    19: Failed,
    20: Refused,
    21: Canary,
}


def encode(message: Message) -> bytes:
    """Return the message as bytes."""
    kind, codecs = _LAYOUTS[type(message)]
    parts = [bytes((kind,))]
    parts += [codec.put(getattr(message, name)) for name, codec in codecs]
    return b"".join(parts)


def decode(data: bytes | memoryview) -> Message:
    """Return the message in `data`, all of it.

    Raises:
        WireError: `data` is not exactly one message.
    """
    reader = _Reader(data)
    kind = KINDS.get(reader.take(1)[0])
    if kind is None:
        raise WireError("unknown kind of message")
    _, codecs = _LAYOUTS[kind]
    message = kind(*[codec.get(reader) for _, codec in codecs])
    if reader.left:
        raise WireError(f"{reader.left} bytes too many after {kind.__name__}")
    return message


class _Reader:
    """A cursor that never reads past the end."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> memoryview:
        if size > self.left:
            raise WireError(f"{size} bytes announced, {self.left} there")
        self._at += size
        return self._data[self._at - size : self._at]


class _Codec(NamedTuple):
    put: Callable[[Any], bytes]
    get: Callable[[_Reader], Any]


_COUNT = struct.Struct("<I")
_INT = struct.Struct("<q")


def _get_count(reader: _Reader, unit: int) -> int:
    """Read a count and check that so many units can follow, before anything is allocated."""
    (count,) = _COUNT.unpack(reader.take(_COUNT.size))
    if count * unit > reader.left:
        raise WireError(f"{count} values announced, {reader.left} bytes there")
    return int(count)


def _get_text(data: memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError(f"text is not UTF-8: {error.reason}") from None


def _put_str(text: str) -> bytes:
    data = text.encode()
    return _COUNT.pack(len(data)) + data


def _get_str(reader: _Reader) -> str:
    return _get_text(reader.take(_get_count(reader, 1)))


def _put_texts(texts: tuple[str, ...]) -> bytes:
    encoded = [text.encode() for text in texts]
    lengths = struct.pack(f"<{len(encoded) + 1}I", len(encoded), *map(len, encoded))
    return lengths + b"".join(encoded)


def _get_texts(reader: _Reader) -> tuple[str, ...]:
    count = _get_count(reader, _COUNT.size)
    lengths = struct.unpack(f"<{count}I", reader.take(_COUNT.size * count))
    data = reader.take(sum(lengths))
    ends = list(accumulate(lengths))
    return tuple(
        _get_text(data[end - length : end]) for end, length in zip(ends, lengths, strict=True)
    )


def _array(letter: str) -> _Codec:
    """Codec of a tuple of 4-byte numbers."""

    def put(values: tuple[Any, ...]) -> bytes:
        return struct.pack(f"<I{len(values)}{letter}", len(values), *values)

    def get(reader: _Reader) -> tuple[Any, ...]:
        count = _get_count(reader, 4)
        return struct.unpack(f"<{count}{letter}", reader.take(4 * count))

    return _Codec(put, get)


_CODECS: dict[Any, _Codec] = {
    int: _Codec(_INT.pack, lambda reader: _INT.unpack(reader.take(_INT.size))[0]),
    bool: _Codec(lambda flag: bytes((flag,)), lambda reader: bool(reader.take(1)[0])),
    str: _Codec(_put_str, _get_str),
    tuple[int, ...]: _array("I"),
    tuple[float, ...]: _array("f"),
    tuple[str, ...]: _Codec(_put_texts, _get_texts),
}


def _layout(kind: type[Message]) -> list[tuple[str, _Codec]]:
    hints = get_type_hints(kind)
    return [(field.name, _CODECS[hints[field.name]]) for field in fields(kind)]


_LAYOUTS = {kind: (number, _layout(kind)) for number, kind in KINDS.items()}
