"""The messages between gateway and shard, and their encoding.

Every message is a frozen dataclass, grouped by receiver, and is encoded field by field in the order
of its declaration: one byte for the kind, then each field by the codec of its type. There is no
pickle and no self-describing format: a corrupted shard can send nothing that the gateway would
execute, allocate without bound, or read past the end of. Bytes that do not decode raise
`WireError`, and nothing else. See `codecs`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Any, get_type_hints

from shards.wire.codecs import CODECS, LETTERS, Codec, Reader, WireError, numbers
from shards.wire.facts import Facts

MAX_JOB_DOCUMENTS = 1024
"""The most documents of one job, so that every reply fits one control packet."""

MAX_JOB_BYTES = 2 * 1024 * 1024
"""The most bytes of text in one job (a single document with its query may reach it, not pass)."""


MAX_VECTOR_BYTES = 32 * 1024
"""The most bytes of vectors in one message, which fits a control packet."""


NO_VECTORS = "no_vectors"
"""The code of `Failed` for a job of texts alone at a model that compares pairs."""

QUERY, DOCUMENT, TEXT = "query", "document", "text"
"""The prompts for texts alone: of queries, of documents, or the checkpoint's own default."""

DOCUMENT_TOO_LONG = "document_too_long"
"""The code of `Failed` for a document that would have to be cut and must not be."""

ENGINE_ERROR = "engine_error"
"""The code of `Failed` for a pair, or a job, at which the engine raised."""

INVALID_SCORE = "invalid_score"
"""The code of `Failed` for a pair whose margin is not a finite number."""


# -- to the shard ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Score:
    """Score these pairs.

    Attributes:
        deadline_ns: CLOCK_MONOTONIC, the same for all processes of a machine.
        max_document_tokens: 0 for the model's own limit.
        instruction: empty for the model's default.
        instructions: one per document where pairs have their own; else empty.
        queries: one query, or one per document.
        keep_end: whether a document that is too long loses its start instead of its end.
        refuse_truncation: whether the job fails with the code `DOCUMENT_TOO_LONG` instead.
        in_passages: whether a document that is too long is read in passages.
        most_passages: the most passages of one document; 0 for all.
        passage_tokens: the most tokens of a passage; 0 for as many as fit.
        passage_overlap: tokens that neighbouring passages have in common.
        pool_best: the margin of a document is the mean of so many best passages; 0 for all.
        max_pair_tokens: the most tokens of query, prompt and document together; 0 for the model's
            own limit.
        max_query_tokens: the most tokens that are read of each query; 0 for all.
        side: the prompt of documents that are encoded alone, for their vectors: `QUERY`, `DOCUMENT`
            or `TEXT`. The only query is then empty. Empty to score pairs.
        dimensions: the numbers of a vector that are wanted, from the first one on; 0 for all.
        unit_vectors: whether vectors are scaled to length 1.
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
    max_pair_tokens: int = 0
    max_query_tokens: int = 0
    instructions: tuple[str, ...] = ()
    side: str = ""
    dimensions: int = 0
    unit_vectors: bool = True


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client of this job left. The job is still answered, with `Failed`."""

    job: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Finish the open jobs, then end."""


# -- to the gateway --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stage:
    """Progress of a start: `loading`, `warming` or `proving`, and a line for the operator."""

    stage: str
    detail: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded and warm."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class Scores:
    """The answer to a job: one margin and one token count per document, in order.

    Attributes:
        truncated: the indices of cut documents.
        computed_tokens: tokens computed for the job, padding included.
        queue_ns: the time in the shard before the first batch.
        passages: the passages of each document; empty unless the job asked for passages.
        starts, ends: the characters of each document's best passage; empty likewise.
        batch_pairs, batch_tokens, batch_us: pairs, computed tokens and microseconds of each batch
            since the last answer, of any job.
        saved_tokens: tokens that were not computed, since pairs share them.
        prefix_hits, prefix_misses: parts of prefixes in these batches that were cached, and that
            were not.
        tokenize_ns: the part of `queue_ns` in the tokenizer.
        vectors: of texts alone their vectors, one after another, as fp32; without those that
            `Vectors` has brought.
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
    tokenize_ns: int = 0
    vectors: bytes = b""

    @property
    def batches(self) -> Iterator[tuple[int, int, int]]:
        """Pairs, tokens and microseconds of each reported batch."""
        return zip(self.batch_pairs, self.batch_tokens, self.batch_us, strict=True)


@dataclass(frozen=True, slots=True)
class Vectors:
    """Some bytes of the vectors of a job, in order, before its `Scores`, which has the last."""

    job: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The job has no scores.

    Attributes:
        code: a key of `gateway.domain.pair_faults.FAULTS` where a document is at fault, else of
            `gateway.supervision.replica.FAILURES`.
        document: the index in the job of the document at fault; -1 for none.
        computed_tokens: tokens computed for it in vain, padding included.
    """

    job: int
    code: str
    message: str
    document: int = -1
    computed_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """The shard ends now, since its spec cannot be served."""

    exit_code: int
    message: str


@dataclass(frozen=True, slots=True)
class Canary:
    """The scores of known pairs: of all after a load, of a few now and then.

    Attributes:
        fingerprint: a hash of weights, prompt and pairs; empty if the margins need not be stored.
        spread: the mean margin of right documents less that of wrong ones; empty where order is
            not required.
        findings: faults; a shard with any ends.
    """

    mode: str
    after_load: bool
    fingerprint: str
    dtype: str
    margins: tuple[float, ...]
    spread: tuple[float, ...]
    findings: tuple[str, ...]
    microseconds: int


Message = Score | Cancel | Stop | Stage | Ready | Scores | Failed | Refused | Canary | Vectors

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
    22: Vectors,
}


def in_packets(scores: Scores) -> Iterator[Scores | Vectors]:
    """Yield an answer as messages that each fit a control packet: vectors first."""
    data, most = scores.vectors, MAX_VECTOR_BYTES
    last = max(0, (len(data) - 1) // most * most)
    for start in range(0, last, most):
        yield Vectors(scores.job, data[start : start + most])
    yield replace(scores, vectors=data[last:]) if last else scores


def encode(message: Message) -> bytes:
    """Return the message as bytes."""
    kind, record = _RECORDS[type(message)]
    return bytes((kind,)) + record.put(message)


def decode(data: bytes | memoryview) -> Message:
    """Return the message in `data`, all of it.

    Raises:
        WireError: `data` is not exactly one message.
    """
    reader = Reader(data)
    kind = KINDS.get(reader.take(1)[0])
    if kind is None:
        raise WireError("unknown kind of message")
    message: Message
    (message,) = _RECORDS[kind][1].get(reader)
    if reader.left:
        raise WireError(f"{reader.left} bytes too many after {kind.__name__}")
    return message


_Values = Callable[[Any], Sequence[Any]]


def _record(kind: type) -> Codec:
    """Return the codec of a dataclass: its fields, one after another."""
    layout = _layout(kind)

    def put(record: Any) -> bytes:
        return b"".join([codec.put(*values(record)) for values, codec in layout])

    def get(reader: Reader) -> Sequence[Any]:
        values: list[Any] = []
        for _, codec in layout:
            values += codec.get(reader)
        return (kind(*values),)

    return Codec(put, get)


def _layout(kind: type) -> list[tuple[_Values, Codec]]:
    """Return, for each field or group of fields, a function that reads it and its codec."""
    hints = get_type_hints(kind)
    found: list[tuple[_Values, Codec]] = []
    for are_numbers, group in groupby(fields(kind), lambda field: hints[field.name] in LETTERS):
        names = [field.name for field in group]
        if are_numbers:
            letters = "".join(LETTERS[hints[name]] for name in names)
            found.append((_values(names), numbers(letters)))
        else:
            found += [(_values([name]), _codec(hints[name])) for name in names]
    return found


def _codec(hint: Any) -> Codec:
    return _record(hint) if isinstance(hint, type) and is_dataclass(hint) else CODECS[hint]


def _values(names: Sequence[str]) -> _Values:
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda record: (get(record),)


_RECORDS = {kind: (number, _record(kind)) for number, kind in KINDS.items()}
