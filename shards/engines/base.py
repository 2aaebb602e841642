"""The contract of an engine: tokenized pairs in, fp32 margins out.

An engine sees no HTTP, jobs, deadlines or pipe. Its `load` function builds it once, and either
returns a whole engine or raises `shards.refusal.Refusal`: nothing is half loaded, and no tensor is
ever initialised at random in silence.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from shards.cost import Work
from shards.engines.prefix_cache import PrefixCache
from shards.pairs import Batch, TokenizedPair
from shards.refusal import Report
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec


class Tokenizer(Protocol):
    """Turns strings into the model's input."""

    @property
    def max_length(self) -> int:
        """The most tokens of one pair."""
        ...

    def tokenize(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str,
        max_document_tokens: int,
        keep_end: bool = False,
    ) -> list[TokenizedPair]:
        """Tokenize each document with the query, in order.

        Args:
            query: the query.
            documents: the documents; an empty string is a document like any other.
            instruction: empty for the default one; ignored by models that use none.
            max_document_tokens: the most tokens kept of one document; 0 for no such limit.
            keep_end: whether a document that is too long loses its start instead of its end.

        Raises:
            QueryTooLong: query and instruction alone reach the model's limit.
        """
        ...

    def starts(self, document: str) -> list[int]:
        """Return the character at which each token of a document begins, in order."""
        ...


class Engine(Protocol):
    """One model on one device.

    Attributes:
        facts: properties of the loaded model.
    """

    facts: Facts

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer for this engine's input."""
        ...

    def warm_up(self) -> None:
        """Run the shapes that will be served, so that the first request is not the slow one."""
        ...

    def score(self, batch: Batch) -> list[float]:
        """Return one fp32 margin per pair, in order."""
        ...


Load = Callable[[ShardSpec, Report], Engine]


@runtime_checkable
class ShortensQueries(Protocol):
    """A tokenizer that reads so little of a query that known queries may be longer."""

    def shortened(self, query: str) -> str:
        """Return the start of a query, as much as is read."""
        ...


def readable(tokenizer: Tokenizer, query: str) -> str:
    """Return a known query, or the start of it that a tokenizer reads."""
    return tokenizer.shortened(query) if isinstance(tokenizer, ShortensQueries) else query


@runtime_checkable
class EncodesTexts(Protocol):
    """A tokenizer of a model that gives vectors of texts alone, which its engine puts into them."""

    def texts(
        self,
        texts: Sequence[str],
        *,
        side: str,
        instruction: str,
        max_tokens: int,
        keep_end: bool = False,
    ) -> list[TokenizedPair]:
        """Tokenize texts alone, in order; each has a slot for its vector.

        Args:
            texts: the texts.
            side: whose prompt stands before them, see `shards.wire.messages.Score`.
            instruction: for a query's prompt with a place for one; empty for the default.
            max_tokens: the most tokens kept of one text; 0 for no such limit.
            keep_end: whether a text that is too long loses its start instead of its end.
        """
        ...


# -- optional parts of the contract ----------------------------------------------------------------


@runtime_checkable
class CountsWork(Protocol):
    """An engine that measures the cost of a batch, where lengths alone do not determine it."""

    @property
    def last_work(self) -> Work:
        """The cost of the last batch."""
        ...


@runtime_checkable
class KeepsPrefixes(Protocol):
    """An engine that computes the prefix of a query once, and caches it for later batches."""

    @property
    def prefixes(self) -> PrefixCache:
        """The cached prefixes; between two batches the scheduler sets the awaited ones."""
        ...


@runtime_checkable
class KeepsVectors(Protocol):
    """An engine that keeps what it computed of a text, and does not compute it again."""

    def score_afresh(self, batch: Batch) -> list[float]:
        """Return the margins of a batch of which everything is computed."""
        ...


def afresh(engine: Engine) -> Callable[[Batch], list[float]]:
    """Return how an engine scores a batch with nothing kept, so that a fault would show."""
    return engine.score_afresh if isinstance(engine, KeepsVectors) else engine.score


@runtime_checkable
class RunsAhead(Protocol):
    """An engine that may compute asynchronously, so that the next batch is begun meanwhile.

    Attributes:
        runs_ahead: whether it does on its device.
    """

    runs_ahead: bool

    def launch(self, batch: Batch) -> Callable[[], list[float]]:
        """Begin a batch; return a function that waits for its margins, and for no later batch."""
        ...


@runtime_checkable
class ReportsSteps(Protocol):
    """An engine that reports progress within a batch, which may take minutes.

    Attributes:
        on_step: called now and then while a batch is scored.
    """

    on_step: Callable[[], None]
