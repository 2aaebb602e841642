"""Pairs as a prompt: the text before the document, the document, the text after it.

Only the document is ever cut, at its end unless asked otherwise: a cut prompt would leave the model
without its question, and a cut query would ask another question. Token lists are joined, never text
across the borders of runs, so no merge can form over a border.

The part before the documents of a query is tokenized once and kept for the next calls: a job is
tokenized slice by slice, its passages document by document, and a request may be several jobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import takewhile

from tokenizers import Tokenizer

from shards.pairs import Prefix, QueryTooLong, TokenizedPair
from shards.prompts import DOCUMENT, INSTRUCTION, QUERY, Prompt, Run, filled, slots_of
from shards.tokenize.runs import cut_at_special_tokens, layout_of, prove_runs
from shards.tokenize.tokenizer import LoadedTokenizer, guard, own_special_tokens, token_starts

_KEPT_HEADS = 8  # queries: two threads tokenize, and jobs of several requests take turns
_FILLERS = ("0", "1 2 3 4")  # documents that have no token in common


@dataclass(frozen=True, slots=True)
class _Head:
    """The tokens that all pairs of a query have in common.

    Attributes:
        text: the text directly before a document. The two are tokenized together where tokens may
            reach over the border between them.
        start: the tokens before `text`.
        ids: the tokens of `text` by itself.
        tail: the text after a document that is tokenized with it.
        tail_ids: the last tokens of all documents with that tail.
        end: the tokens after the tail.
        prefix: `start` and `ids`. Where tokens may reach over the border, a part of the prefix also
            ends before the label of documents, so that most of it is shared in any case.
    """

    text: str
    start: list[int]
    ids: list[int]
    tail: str
    tail_ids: list[int]
    end: list[int]
    prefix: Prefix

    def shared(self, tokens: int) -> Prefix:
        """Return the part of the prefix for a pair that begins with so many of its tokens."""
        if tokens >= len(self.prefix):
            return self.prefix
        ends = tuple(end for end in self.prefix.ends if end <= tokens)
        return Prefix(self.prefix.token_ids[: max(ends, default=0)], ends)


class CausalTokenizer:
    """A tokenizer of pairs with a prompt.

    Attributes:
        prompt: the prompt.
        warnings: warnings for the operator.
    """

    def __init__(
        self,
        tokenizer: LoadedTokenizer,
        prompt: Prompt,
        *,
        max_length: int,
        instruction: str = "",
        guard_special_tokens: bool = True,
        shares_prefixes: bool = False,
    ) -> None:
        """Take a tokenizer, which must not be used elsewhere any more.

        Args:
            shares_prefixes: whether pairs carry the prefix that all pairs of the query share.

        Raises:
            Refusal: the prompt cannot be tokenized in pieces.
        """
        self.max_length = max_length
        self.prompt = prompt
        self._shares_prefixes = shares_prefixes
        self._instruction = instruction or prompt.instruction
        runs, bare = (self._cut(whole, tokenizer.backend) for whole in (prompt.runs, prompt.bare))
        self._fixed = {  # special tokens are meant here, so these ids are made before the guard
            run: tokenizer.ids(str(run[0])) for run in (*runs, *bare) if _is_text(run)
        }
        if prompt.is_framed:
            frame = own_special_tokens(tokenizer.backend)
            self._fixed |= dict(zip(_FRAME, frame, strict=True))
            runs, bare = _framed(runs), _framed(bare)
        self._layouts = {True: layout_of(runs), False: layout_of(bare)}
        special = self._one_text_ids(tokenizer) if prompt.is_one_text else {}
        if guard_special_tokens:
            tokenizer = guard(tokenizer)
        self._backend = tokenizer.backend
        self.warnings = tokenizer.warnings
        self._head = lru_cache(_KEPT_HEADS)(self._encoded_head)
        self._opening = lru_cache(_KEPT_HEADS)(self._encoded_opening)
        self._between = lru_cache(4 * _KEPT_HEADS)(self._encoded_between)
        self._prove(runs if self._instruction else bare, special)
        label, *others = {layout.label for layout in self._layouts.values()}
        self._carried = "" if others else label[len(label.rstrip(" ")) :]
        label = label.removesuffix(self._carried)
        has_tail = any(layout.tail for layout in self._layouts.values())
        self._is_apart = not (has_tail or others) and _splits_before_documents(
            self._backend, label, self._carried
        )
        self._label_tokens = len(self._backend.encode(label, add_special_tokens=False).ids)

    def _cut(self, runs: tuple[Run, ...], backend: Tokenizer) -> tuple[Run, ...]:
        return cut_at_special_tokens(runs, backend) if self.prompt.is_one_text else runs

    def _one_text_ids(self, tokenizer: LoadedTokenizer) -> dict[str, list[int]]:
        """Return the ids of whole texts before the guard, to compare the ids of pieces with."""
        texts: dict[str, list[int]] = {}
        prove_runs(
            self.prompt,
            (),
            lambda runs, query, document: [],
            lambda text: texts.setdefault(text, tokenizer.ids(text)) and [],
        )
        return texts

    def _prove(self, runs: Sequence[Run], known: Mapping[str, list[int]]) -> None:
        if known:
            prove_runs(self.prompt, runs, self._ids_of_runs, known.__getitem__)

    def _ids_of_runs(self, runs: Sequence[Run], query: str, document: str) -> list[int]:
        filling = {QUERY: query, DOCUMENT: document, INSTRUCTION: self.prompt.instruction}
        return [id for run in runs for id in self._ids_of_run(run, filling)]

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
        head = self._head(query, instruction or self._instruction)
        made = partial(self._pair, head, max_document_tokens=max_document_tokens, keep_end=keep_end)
        slot = self._layouts[True].slot
        return [made(body) for body in self._bodies(head, [slot.fill(text) for text in documents])]

    def starts(self, document: str) -> list[int]:
        """See `shards.engines.base.Tokenizer`."""
        return token_starts(self._backend, document)

    def _encoded_head(self, query: str, instruction: str) -> "_Head":
        """Tokenize the part that all pairs of a query have in common.

        Raises:
            QueryTooLong: this part leaves no room for a document.
        """
        layout = self._layouts[bool(instruction)]
        filling = {QUERY: query, INSTRUCTION: instruction}
        text = filled(layout.head, filling).removesuffix(self._carried)
        tail = filled(layout.tail, filling)
        ids, *tails = self._ids([text, *(f"{filler}{tail}" for filler in _FILLERS if tail)])
        tail_ids = _common_end(*tails) if tail else []
        start, end = (self._ids_of(runs, filling) for runs in (layout.before, layout.after))
        least = len(start) + len(ids) + len(tail_ids) + len(end)
        if least >= self.max_length:
            raise QueryTooLong(least, self.max_length)
        token_ids = (*start, *ids)
        ends = {_common_length(self._opening(instruction), token_ids), len(token_ids)}
        if not self._is_apart and len(token_ids) > self._label_tokens:
            ends.add(len(token_ids) - self._label_tokens)
        prefix = Prefix(token_ids, tuple(sorted(end for end in ends if end)))
        return _Head(text, start, ids, tail, tail_ids, end, prefix)

    def _ids_of(self, runs: Sequence[Run], filling: Mapping[str, str]) -> list[int]:
        return [id for run in runs for id in self._ids_of_run(run, filling)]

    def _ids_of_run(self, run: Run, filling: Mapping[str, str]) -> list[int]:
        return self._fixed[run] if _is_text(run) else self._between(filled(run, filling))

    def _encoded_between(self, text: str) -> list[int]:
        (ids,) = self._ids([text])
        return ids

    def _encoded_opening(self, instruction: str) -> tuple[int, ...]:
        """Tokenize the text with which all queries with an instruction begin."""
        layout, filling = self._layouts[bool(instruction)], {INSTRUCTION: instruction}
        whole = list(takewhile(lambda run: _before_query(run) == run, layout.before))
        reached = layout.before[len(whole)] if len(whole) < len(layout.before) else layout.head
        # A space at the end may become one token with the query's first letters.
        (ids,) = self._ids([filled(_before_query(reached), filling).rstrip()])
        return (*self._ids_of(whole, filling), *ids)

    def _bodies(self, head: "_Head", documents: Sequence[str]) -> list[list[int]]:
        """Tokenize each document between the head's text and its tail, as one string.

        Where no token reaches over the border before a document, it is tokenized by itself.
        """
        carried = self._carried
        if self._is_apart:
            return [head.ids + ids for ids in self._ids([f"{carried}{text}" for text in documents])]
        return self._ids([f"{head.text}{carried}{text}{head.tail}" for text in documents])

    def _pair(
        self, head: "_Head", body: list[int], *, max_document_tokens: int, keep_end: bool
    ) -> TokenizedPair:
        """Put a body between start and end, cut to the length that these leave."""
        common = _common_length(head.ids, body)
        tail = len(head.tail_ids)
        limit = self.max_length - len(head.start) - len(head.end) - tail
        if max_document_tokens:
            limit = min(limit, common + max_document_tokens)
        kept, is_cut = body, len(body) - tail > limit
        if is_cut and keep_end:
            kept = body[:common] + body[len(body) - tail - (limit - common) :]
        elif is_cut:
            kept = body[:limit] + head.tail_ids
        ids = [*head.start, *kept, *head.end]
        prefix = head.shared(len(head.start) + common) if self._shares_prefixes else None
        return TokenizedPair(ids, len(ids), is_cut, prefix)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


_AFTER_BORDER = (
    *("", "a", "A", "1", "12", "'s", "(", ":", "::", "-", "\n", "\r\n", " ", "  x", "\t", "\u00a0"),
    *("é", "\u0301", "я", "中", "ー", "…", "🙂", "\u200d", "\u0000", "<", ">:", "Document"),
)
_FRAME: tuple[Run, Run] = (("\0start",), ("\0end",))
"""The runs that stand for the tokenizer's own special tokens."""


def _framed(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Put the tokenizer's own special tokens around the runs with slots."""
    filled_at = [at for at, run in enumerate(runs) if not _is_text(run)]
    first, last = filled_at[0], filled_at[-1] + 1
    return (*runs[:first], _FRAME[0], *runs[first:last], _FRAME[1], *runs[last:])


def _is_text(run: Run) -> bool:
    return len(run) == 1 and isinstance(run[0], str)


def _before_query(run: Run) -> Run:
    """Return the pieces of a run before its first slot for a query."""
    slots = [slot for slot in slots_of((run,)) if slot.filled_by == QUERY]
    return run[: run.index(slots[0])] if slots else run


def _splits_before_documents(backend: Tokenizer, label: str, carried: str) -> bool:
    """Return whether a text after `label` gives the same tokens as it does alone, after `carried`.

    It does with tokenizers that split texts before a space in any case (the regular expressions of
    GPT-2 and of all later tokenizers), and merge inside the pieces only.
    """
    if backend.pre_tokenizer is None:
        return False
    alone = [f"{carried}{text}" for text in _AFTER_BORDER]
    whole = [f"{label}{text}" for text in alone]
    encodings = backend.encode_batch_fast([label, *alone, *whole], add_special_tokens=False)
    label_ids, *ids = (encoding.ids for encoding in encodings)
    pairs = zip(ids[: len(alone)], ids[len(alone) :], strict=True)
    return all([*label_ids, *rest] == together for rest, together in pairs)


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many leading ids two lists share; nearly always all of `first`."""
    if second[: len(first)] == first:
        return len(first)
    unequal = (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return next(unequal, min(len(first), len(second)))


def _common_end(first: list[int], second: list[int]) -> list[int]:
    """Return the trailing ids that two lists share."""
    count = _common_length(first[::-1], second[::-1])
    return first[len(first) - count :]
