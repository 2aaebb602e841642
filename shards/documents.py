"""The documents of a job as the pairs that are scored for them.

A document that the model can read at once is one pair. A longer one is cut, or, where the job asks
for it, read in passages: each is encoded as if it were a document of its own, so it has the score
that its text alone would have. A passage that takes more tokens alone than it took inside its
document, so that it does not fit, is halved.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

from shards.encoder import Span, cut, halves
from shards.engines.base import Encoder
from shards.pairs import EncodedPair, QueryTooLong
from shards.wire.messages import Score

_SLICE_CHARACTERS = 32_768  # of documents that are encoded in one call, unless one has more
_SPARE_TOKENS = 4  # what a passage alone may take more than inside its document
_LONG_CHARACTERS = 8  # a token of the model's limit; longer texts are hardly ever read at once
_SMALLEST_SHARE = 16  # of the model's limit, that a passage must have beside the query
_SMALLEST_WINDOW = 8

T = TypeVar("T")
_Encode = Callable[[Sequence[str]], list[EncodedPair]]


class _Passage(NamedTuple):
    span: Span
    pair: EncodedPair


@dataclass(frozen=True, slots=True)
class EncodedDocument:
    """One document of a job.

    Attributes:
        pairs: one, or one for each of its passages.
        spans: the characters of each.
        truncated: whether a part of it is in none of them.
    """

    pairs: Sequence[EncodedPair]
    spans: Sequence[Span]
    truncated: bool

    @property
    def tokens(self) -> int:
        return sum(map(len, self.pairs))


def encode_documents(encoder: Encoder, score: Score) -> list[EncodedDocument]:
    """Encode the documents of a job, in order.

    Raises:
        QueryTooLong: a query leaves no room for a document, or too little for its passages.
    """
    return [document for some in encoded_slices(encoder, score) for document in some]


def encoded_slices(encoder: Encoder, score: Score) -> Iterator[list[EncodedDocument]]:
    """Encode the documents of a job, in order, so many at a time that none takes long.

    Documents of one call are encoded on several cores, and one that is encoded by itself on one: so
    large ones do not take all of them from a job beside theirs.

    Raises:
        QueryTooLong: a query leaves no room for a document, or too little for its passages.
    """
    read = _in_passages if score.in_passages else _whole
    for slice_ in _slices(score.documents):
        documents = score.documents[slice_]
        if len(score.queries) == 1:
            yield read(encoder, score, score.queries[0], documents)
        else:
            pairs = zip(score.queries[slice_], documents, strict=True)
            yield [read(encoder, score, query, (document,))[0] for query, document in pairs]


def _slices(documents: Sequence[str]) -> Iterator[slice]:
    """Cut a list of documents where its texts come to so many characters."""
    start = characters = 0
    for at, document in enumerate(documents):
        if at > start and characters + len(document) > _SLICE_CHARACTERS:
            yield slice(start, at)
            start, characters = at, 0
        characters += len(document)
    yield slice(start, len(documents))


def _whole(
    encoder: Encoder, score: Score, query: str, documents: Sequence[str]
) -> list[EncodedDocument]:
    pairs = encoder.encode(
        query,
        documents,
        instruction=score.instruction,
        max_document_tokens=score.max_document_tokens,
        keep_end=score.keep_end,
    )
    return [_of_one(pair, text) for pair, text in zip(pairs, documents, strict=True)]


def _of_one(pair: EncodedPair, text: str) -> EncodedDocument:
    return EncodedDocument((pair,), ((0, len(text)),), pair.truncated)


def _in_passages(
    encoder: Encoder, score: Score, query: str, documents: Sequence[str]
) -> list[EncodedDocument]:
    encode = partial(encoder.encode, query, instruction=score.instruction)
    found = _at_once(
        documents, encoder.max_length, partial(encode, max_document_tokens=_shorter(score))
    )
    long = [at for at, pair in enumerate(found) if pair.truncated]
    read = [_of_one(pair, text) for pair, text in zip(found, documents, strict=True)]
    if not long:
        return read
    (empty,) = encode(("",), max_document_tokens=0)
    window = _window(score, len(empty), encoder.max_length)
    for at in long:
        starts = encoder.starts(documents[at])
        read[at] = _cut(
            documents[at], starts, window, score, partial(encode, max_document_tokens=0)
        )
    return read


def _at_once(documents: Sequence[str], max_length: int, encode: _Encode) -> list[EncodedPair]:
    """Encode documents whole; of those that are surely too long only as much as shows that."""
    most = _LONG_CHARACTERS * max_length
    found = encode([text[:most] for text in documents])
    for at, text in enumerate(documents):
        if len(text) > most and not found[at].truncated:
            (found[at],) = encode([text])
    return found


def _shorter(score: Score) -> int:
    """Return the tokens beyond which a document is not read as it is; 0 for what the model can."""
    limits = [limit for limit in (score.passage_tokens, score.max_document_tokens) if limit]
    return min(limits, default=0)


def _window(score: Score, asked: int, max_length: int) -> int:
    """Return the most tokens of a passage beside `asked` tokens of query and prompt."""
    least = max(_SMALLEST_WINDOW, max_length // _SMALLEST_SHARE)
    window = max_length - asked - _SPARE_TOKENS
    if window < least:
        raise QueryTooLong(asked, max_length, least + _SPARE_TOKENS)
    return min(window, score.passage_tokens or window)


def _cut(
    text: str, starts: Sequence[int], window: int, score: Score, encode: _Encode
) -> EncodedDocument:
    low, high = _readable(text, starts, score)
    inner = [start - low for start in starts if low <= start < high]
    spans = cut(text[low:high], inner, window=window, overlap=score.passage_overlap)
    wanted = _kept([(start + low, end + low) for start, end in spans], score)
    passages = _fitting(text, wanted, encode)
    kept = _kept(passages, score)
    is_whole = high - low == len(text) and len(wanted) == len(spans) and len(kept) == len(passages)
    return EncodedDocument(
        pairs=[one.pair for one in kept],
        spans=[one.span for one in kept],
        truncated=not is_whole,
    )


def _readable(text: str, starts: Sequence[int], score: Score) -> Span:
    """Return the characters of a document within `max_document_tokens`, at the end that is kept."""
    most = score.max_document_tokens
    if not most or len(starts) <= most:
        return 0, len(text)
    return (starts[-most], len(text)) if score.keep_end else (0, starts[most])


def _kept(found: list[T], score: Score) -> list[T]:
    """Return the passages that may be read, at the end that is kept."""
    most = score.most_passages
    if not most or len(found) <= most:
        return found
    return found[-most:] if score.keep_end else found[:most]


def _fitting(text: str, spans: Sequence[Span], encode: _Encode) -> list[_Passage]:
    """Encode passages; one that does not fit after all is halved until it does."""
    fitting: list[_Passage] = []
    pairs = encode([text[start:end] for start, end in spans])
    for span, pair in zip(spans, pairs, strict=True):
        if pair.truncated and span[1] - span[0] > 1:
            fitting += _fitting(text, halves(text, span), encode)
        else:
            fitting.append(_Passage(span, pair))
    return fitting
