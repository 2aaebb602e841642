"""What encoder, batcher and engines hand to each other: pairs as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Part:
    """Some tokens of a prefix, named by all tokens up to their end: their numbers depend on all.

    Attributes:
        start: how many tokens come before the part.
        token_ids: these, and then the part's own.
    """

    start: int
    token_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.token_ids) - self.start

    def builds_on(self, other: "Part") -> bool:
        """Whether a prefix with this part has that one as well; it has itself."""
        return self.token_ids[: len(other.token_ids)] == other.token_ids


@dataclass(frozen=True, slots=True)
class Prefix:
    """The tokens with which all pairs of one query begin; equal for equal tokens.

    Attributes:
        token_ids: these tokens.
        ends: after how many of them other queries may go on otherwise, ascending; the last is the
            length of `token_ids`.
        parts: what lies between these ends, in order; none is empty.
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


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """One (query, document) pair as token ids.

    Attributes:
        token_ids: the whole input of the model, special tokens included.
        document_start: index of the first token that a two-segment model types 1; the length of
            `token_ids` when the model has one segment only.
        truncated: whether the document was cut.
        prefix: what the engine need not compute again for each pair of the query; shorter than the
            pair. `None` where the engine shares nothing.
    """

    token_ids: list[int]
    document_start: int
    truncated: bool
    prefix: Prefix | None = None

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def own_tokens(self) -> int:
        """How many tokens are this pair's alone."""
        return len(self.token_ids) - (len(self.prefix) if self.prefix else 0)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of its prefix."""
        return self.prefix.parts if self.prefix else ()


Batch = Sequence[EncodedPair]


class QueryTooLong(Exception):
    """Query and instruction alone leave no room for a document, or too little for a passage.

    Attributes:
        tokens: tokens of the prompt without any document.
        max_length: the model's limit in tokens.
    """

    def __init__(self, tokens: int, max_length: int, passage: int = 0) -> None:
        needed = f", and a passage needs {passage}" if passage else ""
        super().__init__(
            f"query and instruction take {tokens} tokens, the model's limit is {max_length} "
            f"tokens for query and document together{needed}: shorten the query"
        )
        self.tokens = tokens
        self.max_length = max_length
