"""Pairs as two inputs, for bi-encoders: `[CLS] query [SEP]` and `[CLS] document [SEP]`.

Each side has its prompt before its text.
The ids of a pair are those of the query, which all pairs of the query share, then those of the
document. Each side has the model's limit for itself; only documents, and texts that are encoded
alone, are ever cut.
"""

from collections.abc import Sequence
from functools import lru_cache

from shards.pairs import Prefix, QueryTooLong, TokenizedPair, VectorSlot
from shards.recipe import Similarity
from shards.refusal import Refusal
from shards.tokenize.tokenizer import LoadedTokenizer, guard, own_special_tokens, token_starts
from shards.wire.exit_codes import ExitCode
from shards.wire.messages import DOCUMENT, QUERY

_KEPT_QUERIES = 8  # two threads tokenize, and jobs of several requests take turns


class ApartTokenizer:
    """A tokenizer of pairs as two inputs.

    Attributes:
        max_length: the most tokens of a query, and of a document.
        warnings: warnings for the operator.
    """

    def __init__(
        self,
        tokenizer: LoadedTokenizer,
        similarity: Similarity,
        *,
        max_length: int,
        instruction: str = "",
        guard_special_tokens: bool = True,
    ) -> None:
        """Take a tokenizer, which must not be used elsewhere any more.

        Args:
            instruction: the operator's default; empty for the checkpoint's own.

        Raises:
            Refusal: a prompt has special tokens, which would be read as plain text.
        """
        self.max_length = max_length
        self._similarity = similarity
        self._instruction = instruction
        self._before, self._after = own_special_tokens(tokenizer.backend)
        prompts = (similarity.before_query(instruction), similarity.document_prompt)
        expected = [tokenizer.ids(prompt) for prompt in prompts]
        if guard_special_tokens:
            tokenizer = guard(tokenizer)
        self._backend, self._ids = tokenizer.backend, tokenizer.text_ids
        self.warnings = tokenizer.warnings
        for prompt, ids in zip(prompts, expected, strict=True):
            _expect_same(prompt, ids, tokenizer.ids(prompt))
        self._prompt_ids = tokenizer.ids(similarity.document_prompt)
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
        prefix = self._query(query, instruction or self._instruction)
        prompt = self._similarity.document_prompt
        texts = self._ids([f"{prompt}{document}" for document in documents])
        return [self._pair(prefix, text, max_document_tokens, keep_end) for text in texts]

    def starts(self, document: str) -> list[int]:
        """See `shards.engines.base.Tokenizer`."""
        return token_starts(self._backend, document)

    def _encoded_query(self, query: str, instruction: str) -> Prefix:
        (text,) = self._ids([f"{self._similarity.before_query(instruction)}{query}"])
        ids = self._framed(text)
        if len(ids) > self.max_length:
            raise QueryTooLong(len(ids), self.max_length, is_apart=True)
        return Prefix(tuple(ids), (len(ids),))

    def texts(
        self,
        texts: Sequence[str],
        *,
        side: str,
        instruction: str,
        max_tokens: int,
        keep_end: bool = False,
    ) -> list[TokenizedPair]:
        """See `shards.engines.base.EncodesTexts`."""
        prompt = self._prompt(side, instruction or self._instruction)
        prompt_ids, *found = self._ids([prompt, *(f"{prompt}{text}" for text in texts)])
        kept = [self._kept(prompt_ids, text, max_tokens, keep_end) for text in found]
        return [
            TokenizedPair(ids, len(ids), len(some) < len(text), slot=VectorSlot())
            for text, some in zip(found, kept, strict=True)
            for ids in (self._framed(some),)
        ]

    def _prompt(self, side: str, instruction: str) -> str:
        """Return what stands before texts that are encoded alone."""
        if side == QUERY:
            return self._similarity.before_query(instruction)
        own = self._similarity
        return own.document_prompt if side == DOCUMENT else own.default_prompt

    def _pair(
        self, prefix: Prefix, text: list[int], max_document_tokens: int, keep_end: bool
    ) -> TokenizedPair:
        kept = self._kept(self._prompt_ids, text, max_document_tokens, keep_end)
        ids = [*prefix.token_ids, *self._framed(kept)]
        return TokenizedPair(ids, len(prefix), len(kept) < len(text), prefix, is_apart=True)

    def _kept(
        self, prompt_ids: Sequence[int], text: list[int], most: int, keep_end: bool
    ) -> list[int]:
        """Return the ids of a text within the limits, with its prompt; `most` is 0 for no limit."""
        prompt = _common_length(prompt_ids, text)
        limit = self.max_length - len(self._before) - len(self._after)
        if most:
            limit = min(limit, prompt + most)
        if len(text) <= limit:
            return text
        return text[:prompt] + text[len(text) - (limit - prompt) :] if keep_end else text[:limit]

    def _framed(self, text: list[int]) -> list[int]:
        return [*self._before, *text, *self._after] or [0]  # no text, and no special tokens


def _expect_same(prompt: str, expected: list[int], found: list[int]) -> None:
    if found != expected:
        raise Refusal(
            f"the prompt {prompt!r} has special tokens, which would be read as plain text: set "
            "`guard_special_tokens = false` to have them, in documents as well",
            ExitCode.SPEC,
        )


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    unequal = (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return next(unequal, min(len(first), len(second)))
