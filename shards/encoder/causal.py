"""Pairs as the prompt of a yes/no reranker: `PREFIX query document SUFFIX`.

Only the document is ever cut, at its end unless asked otherwise: a suffix cut off would leave the model without its
question, and a query cut off would answer another one. Token lists are joined, text never is across
those borders, so no merge can form over them.
"""

from collections.abc import Sequence
from dataclasses import replace

from tokenizers import Tokenizer

from shards.encoder.templates import Template
from shards.encoder.tokenizer import LoadedTokenizer, guard, token_starts
from shards.pairs import EncodedPair, Prefix, QueryTooLong
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode


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
        instruct = self._instruct(instruction)
        asked = instruct + self._template.query.format(query=query)
        start = self._prefix
        if not self._template.joined:
            (asked_ids,) = self._ids([asked])
            start, asked = self._prefix + asked_ids + self._between, ""
        head_ids, bodies = self._bodies(asked, documents)
        pairs = self._pairs(start, head_ids, bodies, max_document_tokens, keep_end)
        if not self._shares_prefixes:
            return pairs
        shared = len(start) + min((_common_length(head_ids, body) for body in bodies), default=0)
        prefix = self._shared([*start, *head_ids][:shared], instruct)
        return [replace(pair, prefix=prefix) for pair in pairs]

    def starts(self, document: str) -> list[int]:
        """See `shards.engines.base.Encoder`."""
        return token_starts(self._backend, document)

    def _instruct(self, instruction: str) -> str:
        instruction = instruction or self._instruction
        return self._template.instruct.format(instruction=instruction) if instruction else ""

    def _shared(self, token_ids: list[int], instruct: str) -> Prefix:
        """Return what all pairs begin with, and how much of it other queries share: both as ids."""
        (instruct_ids,) = self._ids([instruct])
        common = _common_length([*self._prefix, *instruct_ids], token_ids)
        ends = (common, len(token_ids)) if 0 < common < len(token_ids) else (len(token_ids),)
        return Prefix(tuple(token_ids), ends)

    def _bodies(self, asked: str, documents: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """Encode `asked` and each document as one string; also `asked` with no document.

        Where no token reaches over the space before a document, `asked` is encoded once.
        """
        head = asked + self._template.document
        if self._splits_at_space:
            head_ids, *rest = self._ids([head, *(f" {document}" for document in documents)])
            return head_ids, [head_ids + ids for ids in rest]
        head_ids, *bodies = self._ids([head, *(f"{head} {document}" for document in documents)])
        return head_ids, bodies

    def _pairs(
        self,
        start: list[int],
        head_ids: list[int],
        bodies: Sequence[list[int]],
        max_document_tokens: int,
        keep_end: bool,
    ) -> list[EncodedPair]:
        """Put the bodies between start and suffix, each cut to what these leave."""
        room = self.max_length - len(start) - len(self._suffix)
        if room <= len(head_ids):
            raise QueryTooLong(self.max_length - room + len(head_ids), self.max_length)
        pairs = []
        for body in bodies:
            limit, kept = room, body
            if max_document_tokens:
                limit = min(room, _common_length(head_ids, body) + max_document_tokens)
            if len(body) > limit:
                kept = _without_start(head_ids, body, limit) if keep_end else body[:limit]
            ids = [*start, *kept, *self._suffix]
            pairs.append(EncodedPair(ids, len(ids), len(body) > limit))
        return pairs

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


def _without_start(head: list[int], body: list[int], limit: int) -> list[int]:
    """Cut the start of the document out, between the head and what is kept of the end."""
    start = _common_length(head, body)
    return body[:start] + body[len(body) - (limit - start) :]


def _common_length(first: list[int], second: list[int]) -> int:
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
