"""The documents of a job as the pairs that are scored for them.

A document that fits the model is one pair. A longer one is cut or, where the job asks for it, read
in passages: each is tokenized as a document of its own, so it has the score that its text alone
would have. A passage that takes more tokens alone than inside its document, so that it does not
fit, is halved.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar

from shards.engines.base import EncodesTexts, Tokenizer
from shards.pairs import QueryTooLong, TokenizedPair
from shards.tokenize import Span, cut, halves
from shards.wire.messages import Score

_SLICE_CHARACTERS = 32_768  # of documents that are tokenized in one call, unless one has more
_SPARE_TOKENS = 4  # that a passage alone may take beyond its tokens inside the document
_LONG_CHARACTERS = 8  # a token of the model's limit; longer texts hardly ever fit
_SMALLEST_SHARE = 16  # of the model's limit, that a passage must have beside the query
_SMALLEST_WINDOW = 8

T = TypeVar("T")


class NoVectors(Exception):
    """The model compares pairs, and has no vectors of texts alone."""


_Tokenize = Callable[[Sequence[str]], list[TokenizedPair]]


class _Passage(NamedTuple):
    span: Span
    pair: TokenizedPair


@dataclass(frozen=True, slots=True)
class TokenizedDocument:
    """One document of a job.

    Attributes:
        pairs: one, or one for each of its passages.
        spans: the characters of each.
        truncated: whether a part of it is in none of them.
    """

    pairs: Sequence[TokenizedPair]
    spans: Sequence[Span]
    truncated: bool

    @property
    def tokens(self) -> int:
        return sum(map(len, self.pairs))


def tokenized_slices(tokenizer: Tokenizer, score: Score) -> Iterator[list[TokenizedDocument]]:
    """Tokenize the documents of a job, in order, so many at a time that no step takes long.

    A tokenizer spreads the documents of one call over several cores, but a single one over none: so
    large ones do not take all cores from a job beside theirs.

    Raises:
        QueryTooLong: a query leaves no room for a document, or too little for its passages.
        NoVectors: the texts are to be encoded alone, and this model does not do that.
    """
    if score.side:
        yield from (
            _alone(tokenizer, score, score.documents[at]) for at in _slices(score.documents)
        )
        return
    tokenize = _in_passages if score.in_passages else _whole
    queries = [_shortened(tokenizer, query, score.max_query_tokens) for query in score.queries]
    for slice_ in _slices(score.documents):
        documents = score.documents[slice_]
        if len(queries) == 1 and not score.instructions:
            yield tokenize(tokenizer, score, queries[0], documents)
        else:
            asked = queries * len(documents) if len(queries) == 1 else queries[slice_]
            pairs = zip(_scores_of_pairs(score, slice_), asked, documents, strict=True)
            yield [tokenize(tokenizer, own, query, (text,))[0] for own, query, text in pairs]


def _scores_of_pairs(score: Score, slice_: slice) -> list[Score]:
    """Return the message as it counts for each pair of a slice, with the pair's instruction."""
    if not score.instructions:
        return [score] * len(score.documents[slice_])
    return [replace(score, instruction=own) for own in score.instructions[slice_]]


def _shortened(tokenizer: Tokenizer, query: str, most: int) -> str:
    """Return a query cut to so many tokens; 0 for all."""
    starts = tokenizer.starts(query) if most else []
    return query[: starts[most]] if len(starts) > most else query


def _slices(documents: Sequence[str]) -> Iterator[slice]:
    """Cut a list of documents into slices of about so many characters."""
    start = characters = 0
    for at, document in enumerate(documents):
        if at > start and characters + len(document) > _SLICE_CHARACTERS:
            yield slice(start, at)
            start, characters = at, 0
        characters += len(document)
    yield slice(start, len(documents))


def _alone(tokenizer: Tokenizer, score: Score, documents: Sequence[str]) -> list[TokenizedDocument]:
    """Tokenize texts for their vectors."""
    if not isinstance(tokenizer, EncodesTexts):
        raise NoVectors
    texts = tokenizer.texts(
        documents,
        side=score.side,
        instruction=score.instruction,
        max_tokens=score.max_document_tokens,
        keep_end=score.keep_end,
    )
    for text in texts:
        assert text.slot is not None
        text.slot.dimensions, text.slot.is_unit = score.dimensions, score.unit_vectors
    return [_of_one_pair(pair, text) for pair, text in zip(texts, documents, strict=True)]


def _whole(
    tokenizer: Tokenizer, score: Score, query: str, documents: Sequence[str]
) -> list[TokenizedDocument]:
    pairs = tokenizer.tokenize(
        query,
        documents,
        instruction=score.instruction,
        max_document_tokens=_shortest(score.max_document_tokens, _room(tokenizer, score, query)),
        keep_end=score.keep_end,
    )
    return [_of_one_pair(pair, text) for pair, text in zip(pairs, documents, strict=True)]


def _of_one_pair(pair: TokenizedPair, text: str) -> TokenizedDocument:
    return TokenizedDocument((pair,), ((0, len(text)),), pair.truncated)


def _in_passages(
    tokenizer: Tokenizer, score: Score, query: str, documents: Sequence[str]
) -> list[TokenizedDocument]:
    tokenize = partial(tokenizer.tokenize, query, instruction=score.instruction)
    room = _room(tokenizer, score, query)
    limit = _shortest(score.passage_tokens, score.max_document_tokens, room)
    whole = partial(tokenize, max_document_tokens=limit)
    found = _at_once(documents, tokenizer.max_length, whole)
    long = [at for at, pair in enumerate(found) if pair.truncated]
    read = [_of_one_pair(pair, text) for pair, text in zip(found, documents, strict=True)]
    if not long:
        return read
    (empty,) = tokenize(("",), max_document_tokens=0)
    window = _window(score, empty, tokenizer.max_length)
    for at in long:
        starts = tokenizer.starts(documents[at])
        passages = partial(tokenize, max_document_tokens=room)
        read[at] = _cut(documents[at], starts, window, score, passages)
    return read


def _at_once(documents: Sequence[str], max_length: int, tokenize: _Tokenize) -> list[TokenizedPair]:
    """Tokenize documents whole; of a surely too long one only as much as shows that it is."""
    most = _LONG_CHARACTERS * max_length
    found = tokenize([text[:most] for text in documents])
    for at, text in enumerate(documents):
        if len(text) > most and not found[at].truncated:
            (found[at],) = tokenize([text])
    return found


def _shortest(*limits: int) -> int:
    """Return the least of several limits, of which 0 is none."""
    return min([limit for limit in limits if limit], default=0)


def _room(tokenizer: Tokenizer, score: Score, query: str) -> int:
    """Return the most tokens of a document within `max_pair_tokens`; 0 without such a limit."""
    if not score.max_pair_tokens:
        return 0
    (empty,) = tokenizer.tokenize(
        query, ("",), instruction=score.instruction, max_document_tokens=0
    )
    room = score.max_pair_tokens - len(empty)
    if room < 1:
        limit = "the request's limit"
        raise QueryTooLong(len(empty), score.max_pair_tokens, limit=limit)
    return room


def _window(score: Score, empty: TokenizedPair, max_length: int) -> int:
    """Return the most tokens of a passage beside those of a pair whose document is empty."""
    # A query that is an input of its own takes no room of a passage within the model's limit.
    fixed = empty.own_tokens if empty.is_apart else len(empty)
    limits = [(len(empty), score.max_pair_tokens), (fixed, max_length)]
    tokens, limit = min(
        ((tokens, limit) for tokens, limit in limits if limit), key=lambda of: of[1] - of[0]
    )
    least = max(_SMALLEST_WINDOW, limit // _SMALLEST_SHARE)
    window = limit - tokens - _SPARE_TOKENS
    if window < least:
        raise QueryTooLong(tokens, limit, least + _SPARE_TOKENS)
    return min(window, score.passage_tokens or window)


def _cut(
    text: str, starts: Sequence[int], window: int, score: Score, tokenize: _Tokenize
) -> TokenizedDocument:
    low, high = _readable(text, starts, score)
    inner = [start - low for start in starts if low <= start < high]
    spans = cut(text[low:high], inner, window=window, overlap=score.passage_overlap)
    wanted = _kept([(start + low, end + low) for start, end in spans], score)
    passages = _fitting(text, wanted, tokenize)
    kept = _kept(passages, score)
    is_whole = high - low == len(text) and len(wanted) == len(spans) and len(kept) == len(passages)
    return TokenizedDocument(
        pairs=[passage.pair for passage in kept],
        spans=[passage.span for passage in kept],
        truncated=not is_whole,
    )


def _readable(text: str, starts: Sequence[int], score: Score) -> Span:
    """Return the characters of a document within `max_document_tokens`, at the end that is kept."""
    most = score.max_document_tokens
    if not most or len(starts) <= most:
        return 0, len(text)
    return (starts[-most], len(text)) if score.keep_end else (0, starts[most])


def _kept(found: list[T], score: Score) -> list[T]:
    """Return the passages within `most_passages`, at the end that is kept."""
    most = score.most_passages
    if not most or len(found) <= most:
        return found
    return found[-most:] if score.keep_end else found[:most]


def _fitting(text: str, spans: Sequence[Span], tokenize: _Tokenize) -> list[_Passage]:
    """Tokenize passages; one that does not fit after all is halved until it does."""
    fitting: list[_Passage] = []
    pairs = tokenize([text[start:end] for start, end in spans])
    for span, pair in zip(spans, pairs, strict=True):
        if pair.truncated and span[1] - span[0] > 1:
            fitting += _fitting(text, halves(text, span), tokenize)
        else:
            fitting.append(_Passage(span, pair))
    return fitting
