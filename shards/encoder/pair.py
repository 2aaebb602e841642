"""Pairs as two segments: `[CLS] query [SEP] document [SEP]`, `<s> query </s></s> document </s>`.

Which special tokens stand where is the tokenizer's own business, so it is asked once with a probe
pair; then query and document are encoded apart, the query once for all documents, and joined with
what was learned. A tokenizer encodes the two sides of a pair independently, so this is equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shards.encoder.tokenizer import LoadedTokenizer, guard, token_starts
from shards.pairs import EncodedPair, QueryTooLong
from shards.refusal import Refusal


@dataclass(frozen=True, slots=True)
class _Frame:
    """The special tokens around a pair; `typed` counts those of `middle` with token type 1 (all of
    the document has it then), `None` when nothing has it."""

    before: list[int]
    middle: list[int]
    after: list[int]
    typed: int | None


class PairEncoder:
    """Encodes pairs as two segments. Instructions are ignored.

    Attributes:
        warnings: what the operator should know.
    """

    def __init__(
        self, tokenizer: LoadedTokenizer, *, max_length: int, guard_special_tokens: bool = True
    ) -> None:
        self.max_length = max_length
        self._frame = _frame_of(tokenizer)
        if guard_special_tokens:
            tokenizer = guard(tokenizer)
        self._backend = tokenizer.backend
        self.warnings = tokenizer.warnings

    @property
    def gives_types(self) -> bool:
        """Whether it tells the two sides of a pair apart by token types."""
        return self._frame.typed is not None

    def encode(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str,
        max_document_tokens: int,
        keep_end: bool = False,
    ) -> list[EncodedPair]:
        """See `shards.engines.base.Encoder`."""
        encodings = self._backend.encode_batch_fast([query, *documents], add_special_tokens=False)
        query_ids, *texts = (encoding.ids for encoding in encodings)
        frame = self._frame
        start = [*frame.before, *query_ids, *frame.middle]
        room = self.max_length - len(start) - len(frame.after)
        if room <= 0:
            raise QueryTooLong(self.max_length - room, self.max_length)
        limit = min(room, max_document_tokens or room)
        return [self._pair(start, text, limit, keep_end) for text in texts]

    def starts(self, document: str) -> list[int]:
        """See `shards.engines.base.Encoder`."""
        return token_starts(self._backend, document)

    def _pair(self, start: list[int], text: list[int], limit: int, keep_end: bool) -> EncodedPair:
        frame = self._frame
        kept = text[max(0, len(text) - limit) :] if keep_end else text[:limit]
        ids = [*start, *kept, *frame.after]
        document_start = len(ids) if frame.typed is None else len(start) - frame.typed
        return EncodedPair(ids, document_start, len(text) > limit)


def _frame_of(tokenizer: LoadedTokenizer) -> _Frame:
    probe = tokenizer.backend.encode("a", "a")
    query = [at for at, side in enumerate(probe.sequence_ids) if side == 0]
    document = [at for at, side in enumerate(probe.sequence_ids) if side == 1]
    if not query or not document or document[0] == query[-1] + 1:
        raise Refusal(
            "the tokenizer puts nothing between query and document; a cross-encoder's "
            "tokenizer.json needs a post_processor for pairs"
        )
    is_typed = tokenizer.gives_types and 1 in probe.type_ids
    return _Frame(
        before=probe.ids[: query[0]],
        middle=probe.ids[query[-1] + 1 : document[0]],
        after=probe.ids[document[-1] + 1 :],
        typed=max(0, document[0] - probe.type_ids.index(1)) if is_typed else None,
    )
