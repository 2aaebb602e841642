"""What gateway and shard say to each other, and how it looks as bytes.

Every message is a frozen dataclass, grouped by receiver, and is encoded field by field in the order
of its declaration: one byte for the kind, then each field by the codec of its type. There is no
pickle and no self-describing format: a shard that has gone mad can send nothing that the gateway
would execute, allocate without bound, or read past the end of. Whatever does not decode raises
`WireError`, and nothing else. See `codecs`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from operator import attrgetter
from typing import Any, get_type_hints

from shards.wire.codecs import CODECS, LETTERS, Codec, Reader, WireError, numbers

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

    `prompt_tokens` is what a pair of empty strings takes, beside `shared_tokens` which it shares with all
    pairs; if these are 0, pairs share nothing, not even their query. `doubts` are those of the `warnings` that
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
    shared_tokens: int = 0


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
    parts += [codec.put(*values(message)) for values, codec in codecs]
    return b"".join(parts)


def decode(data: bytes | memoryview) -> Message:
    """Return the message in `data`, all of it.

    Raises:
        WireError: `data` is not exactly one message.
    """
    reader = Reader(data)
    kind = KINDS.get(reader.take(1)[0])
    if kind is None:
        raise WireError("unknown kind of message")
    values: list[Any] = []
    for _, codec in _LAYOUTS[kind][1]:
        values += codec.get(reader)
    if reader.left:
        raise WireError(f"{reader.left} bytes too many after {kind.__name__}")
    return kind(*values)


_Values = Callable[[Message], Sequence[Any]]


def _layout(kind: type[Message]) -> list[tuple[_Values, Codec]]:
    """Return how to get at the fields of a message, and the codec for what that gives."""
    hints = get_type_hints(kind)
    found: list[tuple[_Values, Codec]] = []
    for are_numbers, group in groupby(fields(kind), lambda field: hints[field.name] in LETTERS):
        names = [field.name for field in group]
        if are_numbers:
            letters = "".join(LETTERS[hints[name]] for name in names)
            found.append((_values(names), numbers(letters)))
        else:
            found += [(_values([name]), CODECS[hints[name]]) for name in names]
    return found


def _values(names: Sequence[str]) -> _Values:
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda message: (get(message),)


_LAYOUTS = {kind: (number, _layout(kind)) for number, kind in KINDS.items()}
