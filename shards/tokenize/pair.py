"""Pairs as two segments: `[CLS] query [SEP] document [SEP]`, `<s> query </s></s> document </s>`.

The tokenizer itself decides about special tokens and their places. So it tokenizes one probe pair
at load, which shows them. Afterwards query and document are tokenized apart, the query once for all
documents, and joined with these tokens. A tokenizer treats the two sides of a pair independently,
so the result is equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shards.pairs import Prefix, QueryTooLong, TokenizedPair
from shards.refusal import Refusal
from shards.tokenize.tokenizer import LoadedTokenizer, guard, token_starts


@dataclass(frozen=True, slots=True)
class _Frame:
    """The special tokens around a pair.

    Attributes:
        typed: the number of tokens in `middle` with token type 1, which all of the document then
            has too; `None` when no token has it.
    """

    before: list[int]
    middle: list[int]
    after: list[int]
    typed: int | None


class PairTokenizer:
    """A tokenizer of pairs as two segments. Instructions are ignored.

    Attributes:
        warnings: warnings for the operator.
    """

    def __init__(
        self,
        tokenizer: LoadedTokenizer,
        *,
        max_length: int,
        guard_special_tokens: bool = True,
        before_query: str = "",
        is_bordered: bool = True,
        shares_prefixes: bool = False,
    ) -> None:
        """Take a tokenizer, which must not be used elsewhere any more.

        Args:
            before_query: the text before every query.
            is_bordered: whether a special token must stand between query and document.
            shares_prefixes: whether pairs carry the prefix that all pairs of the query share.

        Raises:
            Refusal: no special token stands between query and document, and one must.
        """
        self.max_length = max_length
        self._before_query = before_query
        self._shares_prefixes = shares_prefixes
        self._frame = _frame_of(tokenizer, is_bordered=is_bordered)
        if guard_special_tokens:
            tokenizer = guard(tokenizer)
        self._backend, self._ids = tokenizer.backend, tokenizer.text_ids
        self.warnings = tokenizer.warnings

    @property
    def gives_types(self) -> bool:
        """True if token types separate the two sides of a pair."""
        return self._frame.typed is not None

    def tokenize(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str,
        max_document_tokens: int,
        keep_end: bool = False,
    ) -> list[TokenizedPair]:
        """See `shards.engines.base.Tokenizer`."""
        query_ids, *texts = self._ids([f"{self._before_query}{query}", *documents])
        frame = self._frame
        start = [*frame.before, *query_ids, *frame.middle]
        room = self.max_length - len(start) - len(frame.after)
        if room <= 0:
            raise QueryTooLong(self.max_length - room, self.max_length)
        limit = min(room, max_document_tokens or room)
        prefix = self._prefix(start)
        return [self._pair(start, text, limit, keep_end, prefix) for text in texts]

    def starts(self, document: str) -> list[int]:
        """See `shards.engines.base.Tokenizer`."""
        return token_starts(self._backend, document)

    def _prefix(self, start: list[int]) -> Prefix | None:
        """Return the tokens that pairs share; at least one own token must follow in every pair.

        Where no token follows a document, which may be empty, the prefix leaves out its last token.
        """
        shared = start if self._frame.after else start[:-1]
        return Prefix(tuple(shared), (len(shared),)) if self._shares_prefixes and shared else None

    def _pair(
        self,
        start: list[int],
        text: list[int],
        limit: int,
        keep_end: bool,
        prefix: Prefix | None,
    ) -> TokenizedPair:
        frame = self._frame
        kept = text[max(0, len(text) - limit) :] if keep_end else text[:limit]
        ids = [*start, *kept, *frame.after] or [0]  # two empty texts without special tokens
        document_start = len(ids) if frame.typed is None else len(start) - frame.typed
        return TokenizedPair(ids, document_start, len(text) > limit, prefix)


def _frame_of(tokenizer: LoadedTokenizer, *, is_bordered: bool) -> _Frame:
    probe = tokenizer.backend.encode("a", "a")
    query = [at for at, side in enumerate(probe.sequence_ids) if side == 0]
    document = [at for at, side in enumerate(probe.sequence_ids) if side == 1]
    if not query or not document or (is_bordered and document[0] == query[-1] + 1):
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
