"""Pairs as two inputs for late interaction: `[CLS] [Q] query [SEP] [MASK] ...`, `[CLS] [D] ...`.

A prefix token stands after the first token of each side. A query is filled up with expansion tokens
to its number of tokens. Only documents are ever cut; a query that is longer is refused.
"""

from collections.abc import Sequence
from functools import lru_cache

from shards.pairs import Prefix, QueryTooLong, TokenizedPair
from shards.recipe import LateInteraction
from shards.refusal import Refusal
from shards.tokenize.tokenizer import LoadedTokenizer, guard, own_special_tokens, token_starts

_KEPT_QUERIES = 8  # two threads tokenize, and jobs of several requests take turns


class LateTokenizer:
    """A tokenizer of pairs for late interaction.

    Attributes:
        max_length: the most tokens of a document.
        fill_id: the expansion token.
        skipped: tokens of documents that are compared with nothing.
        warnings: warnings for the operator.
    """

    def __init__(
        self,
        tokenizer: LoadedTokenizer,
        late: LateInteraction,
        *,
        max_length: int,
        guard_special_tokens: bool = True,
    ) -> None:
        """Take a tokenizer, which must not be used elsewhere any more.

        Raises:
            Refusal: a prefix is no token.
        """
        self.max_length = max_length
        self._late = late
        backend = tokenizer.backend
        self._before, self._after = own_special_tokens(backend)
        self._query_prefix = _ids_of(backend, late.query_prefix)
        self._document_prefix = _ids_of(backend, late.document_prefix)
        (self.fill_id,) = _ids_of(backend, late.fill_token)
        unknown = backend.token_to_id(late.unknown_token) if late.unknown_token else None
        words = {backend.token_to_id(word) for word in late.skipped_words}
        self.skipped = frozenset(unknown if id is None else id for id in words) - {None}
        if guard_special_tokens:
            tokenizer = guard(tokenizer)
        self._backend, self._ids = tokenizer.backend, tokenizer.text_ids
        self.warnings = tokenizer.warnings
        self._query = lru_cache(_KEPT_QUERIES)(self._encoded_query)

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
        prefix = self._query(query)
        found = []
        for text in self._ids(list(documents)):
            limit = self.max_length - self._fixed(self._document_prefix)
            limit = max(0, min(limit, max_document_tokens or limit))
            kept = text[len(text) - limit :] if keep_end and len(text) > limit else text[:limit]
            ids = [*prefix.token_ids, *self._framed(kept, self._document_prefix)]
            is_cut = len(text) > limit
            found.append(TokenizedPair(ids, len(prefix), is_cut, prefix, is_apart=True))
        return found

    def starts(self, document: str) -> list[int]:
        """See `shards.engines.base.Tokenizer`."""
        return token_starts(self._backend, document)

    def shortened(self, query: str) -> str:
        """See `shards.engines.base.ShortensQueries`."""
        room = most = self._late.query_tokens - self._fixed(self._query_prefix)
        cut, starts = query, self.starts(query)
        while len(self._ids([cut])[0]) > room and most > 0:
            cut = query[: starts[min(most, len(starts) - 1)]]
            most -= 1  # the tokens of a start may be others, and more
        return cut

    def seen_tokens(self, query_ids: Sequence[int]) -> int:
        """Return how many tokens of a query the others see: expansion tokens may be hidden."""
        seen = len(query_ids)
        if self._late.attends or not self._late.is_filled:
            return seen
        while seen and query_ids[seen - 1] == self.fill_id:
            seen -= 1
        return max(1, seen)

    def _encoded_query(self, query: str) -> Prefix:
        (text,) = self._ids([query])
        ids = self._framed(text, self._query_prefix)
        most = self._late.query_tokens
        if len(ids) > most:
            raise QueryTooLong(len(ids), most, is_apart=True)
        if self._late.is_filled:
            ids += [self.fill_id] * (most - len(ids))
        return Prefix(tuple(ids), (len(ids),))

    def _fixed(self, prefix: Sequence[int]) -> int:
        return len(self._before) + len(prefix) + len(self._after)

    def _framed(self, text: Sequence[int], prefix: Sequence[int]) -> list[int]:
        whole = [*self._before, *text, *self._after]
        return [*whole[:1], *prefix, *whole[1:]] or [self.fill_id]


def _ids_of(backend: object, token: str) -> tuple[int, ...]:
    """Return the id of a token; nothing for an empty one."""
    if not token:
        return ()
    id = backend.token_to_id(token)  # type: ignore[attr-defined] # the class has no public name
    if id is None:
        raise Refusal(
            f"the prefix {token!r} is no token of the checkpoint's tokenizer: its vector would be "
            "random; use a checkpoint that was saved with it"
        )
    return (id,)
