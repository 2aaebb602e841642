"""The contract of an engine: encoded pairs in, fp32 margins out.

An engine never sees HTTP, jobs, deadlines or the pipe. It is built once by its `load` function,
which either returns a whole engine or raises `shards.refusal.Refusal`: nothing is half loaded, and no tensor is
ever initialised at random in silence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from shards.engines.prefixes import PrefixCache
from shards.pairs import Batch, EncodedPair
from shards.refusal import Report
from shards.wire.spec import ShardSpec
from shards.work import Work


class Encoder(Protocol):
    """Turns strings into the model's input."""

    @property
    def max_length(self) -> int:
        """The most tokens of one pair."""
        ...

    def encode(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str,
        max_document_tokens: int,
        keep_end: bool = False,
    ) -> list[EncodedPair]:
        """Encode each document with the query, in order.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was loaded, as `gateway status` shows it.

    Attributes:
        engine: the engine's name.
        device: the device in use (may differ from the spec's, with a line in `warnings`).
        dtype: `fp32`, `bf16`, `fp16`, `int8`, or `int4` of an exported graph.
        max_length: the most tokens of one pair.
        token_budget: the most tokens of one batch, padding included; a single longer pair makes a
            batch of its own.
        packed: whether batches have no padding, so that pairs of any lengths go together.
        activation: what the checkpoint itself applies to the margin: `sigmoid` or `identity`.
        uses_instruction: whether the instruction reaches the model.
        demonstration: whether the checkpoint calls itself a demonstration model.
        warnings: what the operator should know (fallbacks, guesses).
        notes: what was measured, and chosen by it.
        doubts: those of the warnings that concern the scores, which clients are told as well.
        languages: what the checkpoint says it knows (ISO 639-1); empty if it does not say.
        fingerprint: changes when a file of the checkpoint does; empty for no files.
        has_meaning: whether scores say anything about the texts.
        details: what else `gateway verify` shows of the load, by name.
    """

    engine: str
    device: str
    dtype: str
    max_length: int
    token_budget: int
    packed: bool = False
    activation: str = "sigmoid"
    uses_instruction: bool = False
    demonstration: bool = False
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    fingerprint: str = ""
    has_meaning: bool = True
    details: tuple[tuple[str, str], ...] = ()


class Engine(Protocol):
    """One model on one device.

    Attributes:
        facts: what was loaded.
    """

    facts: Facts

    @property
    def encoder(self) -> Encoder:
        """What turns strings into this engine's input."""
        ...

    def warm_up(self) -> None:
        """Run the shapes that will be served, so that the first request is not the slow one."""
        ...

    def score(self, batch: Batch) -> list[float]:
        """Return one fp32 margin per pair, in order."""
        ...


@runtime_checkable
class CountsWork(Protocol):
    """An engine that knows better than the lengths of the pairs what a batch has cost."""

    @property
    def last_work(self) -> Work:
        """What the last batch cost."""
        ...


@runtime_checkable
class KeepsPrefixes(Protocol):
    """An engine that computes the prefix of a query once, and keeps it for later batches."""

    @property
    def prefixes(self) -> PrefixCache:
        """What it keeps now; between two batches it may be told what is awaited."""
        ...


@runtime_checkable
class RunsAhead(Protocol):
    """An engine whose device may compute by itself, so that another batch can be begun meanwhile.

    Attributes:
        runs_ahead: whether it does.
    """

    runs_ahead: bool

    def launch(self, batch: Batch) -> Callable[[], list[float]]:
        """Begin a batch; return what waits for its margins, and for nothing that is begun later."""
        ...


@runtime_checkable
class TellsSteps(Protocol):
    """An engine that says when it has come further with a batch, which may take minutes.

    Attributes:
        on_step: called now and then while a batch is scored.
    """

    on_step: Callable[[], None]


Load = Callable[[ShardSpec, Report], Engine]
