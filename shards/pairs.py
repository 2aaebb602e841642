"""Pairs as token ids: what tokenizers return, the batcher groups and engines score."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Part:
    """Some tokens of a prefix, identified by all tokens up to their end.

    The keys and values of the part depend on all of these.

    Attributes:
        start: the number of tokens before the part.
        token_ids: these tokens, then the part's own.
    """

    start: int
    token_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.token_ids) - self.start

    def builds_on(self, other: "Part") -> bool:
        """Return whether a prefix with this part has the other one as well; true of itself."""
        return self.token_ids[: len(other.token_ids)] == other.token_ids


@dataclass(frozen=True, slots=True)
class Prefix:
    """The tokens with which all pairs of one query begin; equal for equal tokens.

    Attributes:
        token_ids: these tokens.
        ends: the lengths after which other queries may go on otherwise, ascending; the last is the
            length of `token_ids`.
        parts: the tokens between these ends, in order; none is empty.
    """

    token_ids: tuple[int, ...]
    ends: tuple[int, ...]
    parts: tuple[Part, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = [
            Part(start, self.token_ids[:end])
            for start, end in pairwise((0, *self.ends))
            if end > start
        ]
        object.__setattr__(self, "parts", tuple(parts))

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(slots=True)
class VectorSlot:
    """The place for the vector of a text that is encoded alone; the engine fills it.

    Attributes:
        dimensions: the numbers that are kept, from the first one on; 0 for all.
        is_unit: whether the vector is scaled to length 1.
        data: the vector, fp32, little-endian; empty before the batch of the text.
    """

    dimensions: int = 0
    is_unit: bool = True
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """One (query, document) pair as token ids, or a text alone.

    Attributes:
        token_ids: the whole input of the model, special tokens included.
        document_start: index of the first token that a two-segment model types 1; the length of
            `token_ids` when the model has one segment only.
        truncated: whether the document was cut.
        prefix: tokens that the engine computes once for all pairs of the query; shorter than the
            pair. `None` where the engine shares nothing.
        is_apart: whether the prefix, which is the query, and the tokens behind it are two inputs
            of the model, each with its limit.
        slot: the place for the vector of a text that is encoded alone; `None` for a pair.
    """

    token_ids: list[int]
    document_start: int
    truncated: bool
    prefix: Prefix | None = None
    is_apart: bool = False
    slot: VectorSlot | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def own_tokens(self) -> int:
        """The number of tokens behind the prefix."""
        return len(self.token_ids) - (len(self.prefix) if self.prefix else 0)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of its prefix."""
        return self.prefix.parts if self.prefix else ()


Batch = Sequence[TokenizedPair]


def side_texts(pair: TokenizedPair) -> list[TokenizedPair]:
    """Return the inputs of a model for a pair, each of one segment if they are two."""
    start = pair.document_start
    if not pair.is_apart:
        return [pair]
    sides = (pair.token_ids[:start], pair.token_ids[start:])
    return [TokenizedPair(ids, len(ids), False) for ids in sides]


class QueryTooLong(Exception):
    """Query and instruction alone leave no room for a document, or too little for a passage.

    Attributes:
        tokens: tokens of the prompt without any document.
        max_length: the limit in tokens, that of the model or of the request.
    """

    def __init__(
        self,
        tokens: int,
        max_length: int,
        passage: int = 0,
        *,
        limit: str = "the model's limit",
        is_apart: bool = False,
    ) -> None:
        needed = f", and a passage needs {passage}" if passage else ""
        cut = ", or have it cut with max_tokens_per_query" if is_apart else ""
        counted = "of a query" if is_apart else "for query and document together"
        super().__init__(
            f"query and instruction take {tokens} tokens, {limit} is {max_length} tokens "
            f"{counted}{needed}: shorten the query{cut}"
        )
        self.tokens = tokens
        self.max_length = max_length
