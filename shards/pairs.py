"""What encoder, batcher and engines hand to each other: pairs as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prefix:
    """The tokens with which all pairs of one query begin; equal for equal tokens.

    Attributes:
        token_ids: these tokens.
        ends: after how many of them other queries may go on otherwise, ascending; the last is the
            length of `token_ids`.
    """

    token_ids: tuple[int, ...]
    ends: tuple[int, ...]

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
