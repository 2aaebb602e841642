"""Pairs as the prompt of a yes/no reranker: `PREFIX query document SUFFIX`.

Only the document is ever cut, at its end unless asked otherwise: a suffix cut off would leave the model without its
question, and a query cut off would answer another one. Token lists are joined, text never is across
those borders, so no merge can form over them.

What comes before the documents of a query is encoded once and kept for the next calls: a job is encoded
slice by slice, its passages document by document, and a request may be several jobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from tokenizers import Tokenizer

from shards.encoder.templates import Template
from shards.encoder.tokenizer import LoadedTokenizer, guard, token_starts
from shards.pairs import EncodedPair, Prefix, QueryTooLong
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode

_KEPT_HEADS = 8  # of queries: two threads encode, and jobs of several requests take turns


@dataclass(frozen=True, slots=True)
class _Head:
    """What comes before the documents of a query.

    Attributes:
        text: what is encoded with a document where tokens may reach over the space between them.
        start: the tokens before this text.
        ids: its own, by itself.
        prefix: both. Where tokens may reach over the space, it also ends before the label of documents:
            so most of it is shared in any case.
    """

    text: str
    start: list[int]
    ids: list[int]
    prefix: Prefix

    def shared(self, tokens: int) -> Prefix:
        """Return what a pair has of the prefix that begins with so many of its tokens."""
        if tokens >= len(self.prefix):
            return self.prefix
        ends = tuple(end for end in self.prefix.ends if end <= tokens)
        return Prefix(self.prefix.token_ids[: max(ends, default=0)], ends)


class CausalEncoder:
    """Encodes pairs with a template.

    Attributes:
        yes_id, no_id: the tokens whose logits are compared.
        warnings: what the operator should know.
    """

    def __init__(
        self,
        tokenizer: LoadedTokenizer,
        template: Template,
        *,
        max_length: int,
        instruction: str = "",
        guard_special_tokens: bool = True,
        shares_prefixes: bool = False,
    ) -> None:
        """Take a tokenizer, which must not be used elsewhere any more.

        Args:
            shares_prefixes: whether pairs say which of their tokens all pairs of the query have.
        """
        self.max_length = max_length
        self._shares_prefixes = shares_prefixes
        self.yes_id, self.no_id = _answer_ids(tokenizer, template)
        self._template = template
        self._instruction = instruction or template.instruction
        before, after = _own_special_tokens(tokenizer.backend) if template.special_tokens else _NONE
        self._prefix = tokenizer.ids(template.prefix) + before
        self._between = tokenizer.ids(template.between)
        self._suffix = after + [id for piece in template.suffix for id in tokenizer.ids(piece)]
        if guard_special_tokens:
            tokenizer = guard(tokenizer)
        self._backend = tokenizer.backend
        self.warnings = tokenizer.warnings
        self._splits_at_space = _splits_at_space(self._backend, template.document)
        self._label_tokens = len(
            self._backend.encode(template.document, add_special_tokens=False).ids
        )
        self._head = lru_cache(_KEPT_HEADS)(self._encoded_head)
        self._opening = lru_cache(_KEPT_HEADS)(self._encoded_opening)

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
        head = self._head(query, instruction or self._instruction)
        limits = max_document_tokens, keep_end
        return [self._pair(head, body, *limits) for body in self._bodies(head, documents)]

    def starts(self, document: str) -> list[int]:
        """See `shards.engines.base.Encoder`."""
        return token_starts(self._backend, document)

    def _encoded_head(self, query: str, instruction: str) -> "_Head":
        """Encode what comes before each document of a query.

        Raises:
            QueryTooLong: it leaves no room for a document.
        """
        template = self._template
        asked = self._instruct(instruction) + template.query.format(query=query)
        apart, text = ([], asked) if template.joined else ([asked], "")
        text += template.document
        *asked_ids, ids = self._ids([*apart, text])
        start = [*self._prefix, *chain(*asked_ids), *self._between]
        least = len(start) + len(ids) + len(self._suffix)
        if least >= self.max_length:
            raise QueryTooLong(least, self.max_length)
        token_ids = (*start, *ids)
        ends = {_common_length(self._opening(instruction), token_ids), len(token_ids)}
        if not self._splits_at_space:
            ends.add(len(token_ids) - self._label_tokens)
        return _Head(text, start, ids, Prefix(token_ids, tuple(sorted(ends))))

    def _instruct(self, instruction: str) -> str:
        return self._template.instruct.format(instruction=instruction) if instruction else ""

    def _encoded_opening(self, instruction: str) -> tuple[int, ...]:
        """Encode what all queries with an instruction begin with."""
        (ids,) = self._ids([self._instruct(instruction)])
        return (*self._prefix, *ids)

    def _bodies(self, head: "_Head", documents: Sequence[str]) -> list[list[int]]:
        """Encode each document after the head's text, as one string; where no token reaches over the
        space before a document, by itself."""
        if self._splits_at_space:
            return [head.ids + ids for ids in self._ids([f" {one}" for one in documents])]
        return self._ids([f"{head.text} {document}" for document in documents])

    def _pair(
        self, head: "_Head", body: list[int], max_document_tokens: int, keep_end: bool
    ) -> EncodedPair:
        """Put a body between start and suffix, cut to what these leave."""
        common = _common_length(head.ids, body)
        limit = self.max_length - len(head.start) - len(self._suffix)
        if max_document_tokens:
            limit = min(limit, common + max_document_tokens)
        kept = body
        if len(body) > limit:
            kept = (
                body[:common] + body[len(body) - (limit - common) :] if keep_end else body[:limit]
            )
        ids = [*head.start, *kept, *self._suffix]
        prefix = head.shared(len(head.start) + common) if self._shares_prefixes else None
        return EncodedPair(ids, len(ids), len(body) > limit, prefix)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


_AFTER_SPACE = (
    *("", "a", "A", "1", "12", "'s", "(", ":", "::", "-", "\n", "\r\n", " ", "  x", "\t", "\u00a0"),
    *("é", "\u0301", "я", "中", "ー", "…", "🙂", "\u200d", "\u0000", "<", ">:", "Document"),
)
_NONE: tuple[list[int], list[int]] = ([], [])


def _own_special_tokens(backend: Tokenizer) -> tuple[list[int], list[int]]:
    """Return what the tokenizer itself puts before and after a text; mostly nothing."""
    plain = backend.encode("a", add_special_tokens=False).ids
    whole = backend.encode("a").ids
    for start in range(len(whole) - len(plain) + 1):
        end = start + len(plain)
        if whole[start:end] == plain:
            return whole[:start], whole[end:]
    return _NONE


def _splits_at_space(backend: Tokenizer, label: str) -> bool:
    """Whether a text after `label` and a space gives the same tokens as it does alone.

    True of tokenizers that split texts before a space, whatever follows it (the regular expressions
    of GPT-2 and all that came after it), and merge inside the pieces only.
    """
    if backend.pre_tokenizer is None:
        return False
    alone = [f" {text}" for text in _AFTER_SPACE]
    whole = [f"{label}{text}" for text in alone]
    label_ids, *ids = (
        one.ids
        for one in backend.encode_batch_fast([label, *alone, *whole], add_special_tokens=False)
    )
    pairs = zip(ids[: len(alone)], ids[len(alone) :], strict=True)
    return all([*label_ids, *rest] == together for rest, together in pairs)


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many leading ids two lists share; `first` whole, nearly always."""
    if second[: len(first)] == first:
        return len(first)
    unequal = (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return next(unequal, min(len(first), len(second)))


def _answer_ids(tokenizer: LoadedTokenizer, template: Template) -> tuple[int, int]:
    yes, no = (_single_id(tokenizer, word) for word in (template.yes, template.no))
    if yes is None or no is None or yes == no:
        raise Refusal(
            f"the answers {template.yes!r} and {template.no!r} must be one token each, and "
            f"different; the tokenizer gives {tokenizer.ids(template.yes)} and "
            f"{tokenizer.ids(template.no)}: choose the template this checkpoint was trained on",
            ExitCode.SPEC,
        )
    return yes, no


def _single_id(tokenizer: LoadedTokenizer, word: str) -> int | None:
    if (id := tokenizer.backend.token_to_id(word)) is not None:
        return id
    ids = tokenizer.ids(word)
    unknown = getattr(tokenizer.backend.model, "unk_token", None)
    known = len(ids) == 1 and tokenizer.backend.id_to_token(ids[0]) != unknown
    return ids[0] if known else None
