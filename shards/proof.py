"""Has an engine prove itself by its canaries: all of them after a load, a few now and then.

What must be proved is the spec's `canary`:

    full     the built-in pairs and the operator's own are in order, with a spread
    own      the operator's own alone
    numeric  scores are numbers, and not all the same: for weights that are random on purpose

Whatever the mode, the same weights must give the same scores as in an earlier life, and later as
after the load, also as soon as a score was no number. What is scored again between batches is three
short pairs, so that it costs little.
"""

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from shards.canary import (
    Finding,
    Own,
    Pair,
    Verdict,
    judge,
    judge_own,
    judge_same,
    known_pairs,
)
from shards.engines.base import Engine
from shards.pairs import EncodedPair, QueryTooLong
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.messages import Canary
from shards.wire.spec import OwnCanary, ShardSpec

MODES = ("full", "own", "numeric")

_AGAIN = 3  # pairs
_DOUBT_SECONDS = 10.0  # between rounds that are called for: some might call again and again
_NUMERIC = (
    "canary = numeric: the scores were checked to be numbers, not to mean anything; do not rely on "
    "them unless this is on purpose"
)


class CanaryFailed(Refusal):
    """The engine gives wrong scores, and may not serve."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__(f"the canary failed: {'; '.join(findings)}", ExitCode.CANARY)


class Proof:
    """The canaries of one loaded engine.

    Attributes:
        mode: what is proved; an engine whose scores mean nothing proves numbers only.
        rounds: when a few pairs are to be scored again.
    """

    def __init__(self, engine: Engine, spec: ShardSpec) -> None:
        facts = engine.facts
        self._engine = engine
        self._spec = spec
        self.mode = spec.canary if facts.has_meaning else "numeric"
        languages = facts.languages if self.mode == "full" else ("en",)
        self._pairs = known_pairs(languages)
        self._is_declared = any(pair.language in languages for pair in self._pairs)
        self._fingerprint = _fingerprint(self._pairs, spec, facts.fingerprint)
        self._margins: tuple[float, ...] = ()
        self.rounds = Rounds(spec.canary_seconds, spec.canary_batches, time.monotonic())
        self._again_pairs: tuple[EncodedPair, ...] = ()

    @property
    def tokens(self) -> int:
        """What `again` computes, padding included."""
        return max(map(len, self._again_pairs), default=0) * len(self._again_pairs)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What clients are told with their scores."""
        return (_NUMERIC,) if self.mode == "numeric" and self._engine.facts.has_meaning else ()

    def after_load(self, report: Report) -> tuple[Canary, tuple[str, ...]]:
        """Score all pairs; return what they say, and notes for the operator."""
        started_ns = time.monotonic_ns()
        try:
            self._score_known(report)
            own = [self._own(place, one) for place, one in enumerate(self._spec.canaries, start=1)]
        except QueryTooLong as error:
            raise Refusal(
                f"the known pairs do not fit: {error}; raise `max_length`", ExitCode.SPEC
            ) from error
        verdict = judge(
            self._pairs,
            self._margins,
            numeric=self.mode != "full",
            declared=self._is_declared,
        )
        findings = (*verdict.findings, *judge_own(own), *self._changes())
        return self._told(findings, verdict, started_ns, after_load=True), verdict.notes

    def again(self) -> Canary:
        """Score a few pairs; they must score what they did after the load."""
        started_ns = time.monotonic_ns()
        margins = self._score(self._again_pairs)
        found = judge_same(
            margins,
            self._margins[: len(margins)],
            (self._engine.facts.dtype,),
            since="when the model was loaded",
        )
        findings = (found,) if found else ()
        return self._told(findings, Verdict(findings), started_ns, after_load=False)

    def _told(
        self, findings: Sequence[Finding], verdict: Verdict, started_ns: int, *, after_load: bool
    ) -> Canary:
        return Canary(
            mode=self.mode,
            after_load=after_load,
            fingerprint=self._fingerprint,
            dtype=self._engine.facts.dtype,
            margins=self._margins if after_load else (),
            spread=(verdict.spread,) if verdict.spread else (),
            findings=tuple(map(str, findings)),
            microseconds=(time.monotonic_ns() - started_ns) // 1000,
        )

    def _score_known(self, report: Report) -> None:
        """Score the built-in pairs. Where order is not asked for, only those that fit."""
        margins: list[float] = []
        for language, group in groupby(self._pairs, key=lambda pair: pair.language):
            report(f"canary: known pairs, {language}")
            try:
                encoded = [self._encoded(pair.query, pair.document) for pair in group]
            except QueryTooLong:
                if self.mode == "full":
                    raise
                self._pairs = ()
                return
            self._again_pairs = self._again_pairs or tuple(encoded[:_AGAIN])
            margins += self._score(encoded)
        self._margins = tuple(margins)

    def _score(self, pairs: Sequence[EncodedPair]) -> list[float]:
        """Score pairs, as many at once as a batch may hold."""
        at_once = max(1, self._engine.facts.token_budget // max(map(len, pairs), default=1))
        starts = range(0, len(pairs), at_once)
        batches = (self._engine.score(pairs[start : start + at_once]) for start in starts)
        return [margin for batch in batches for margin in batch]

    def _own(self, place: int, one: OwnCanary) -> Own:
        texts = [text for text in (one.right, one.wrong) if text is not None]
        margins = [self._engine.score([self._encoded(one.query, text)])[0] for text in texts]
        return Own(
            place=place,
            right=margins[0],
            wrong=margins[1] if one.wrong is not None else None,
            right_score=one.right_score,
            wrong_score=one.wrong_score,
            tolerance=one.tolerance,
        )

    def _encoded(self, query: str, document: str) -> EncodedPair:
        (pair,) = self._engine.encoder.encode(
            query, (document,), instruction="", max_document_tokens=0
        )
        return pair

    def _changes(self) -> tuple[Finding, ...]:
        """Compare with an earlier life of the same weights."""
        before = self._spec.remembered
        if before is None or not self._fingerprint or before.fingerprint != self._fingerprint:
            return ()
        dtypes = (before.dtype, self._engine.facts.dtype)
        found = judge_same(
            self._margins, before.margins, dtypes, since="when the same weights were loaded before"
        )
        return (found,) if found else ()


def _fingerprint(pairs: Sequence[Pair], spec: ShardSpec, files: str) -> str:
    """Return what must be equal for margins to be equal; empty if the engine has no files."""
    prompt = (spec.engine, spec.template, spec.instruction, str(spec.guard_special_tokens))
    texts = [text for pair in pairs for text in (pair.query, pair.document)]
    joined = "\0".join([files, *prompt, str(spec.max_length), *texts])
    return hashlib.sha256(joined.encode()).hexdigest()[:32] if files else ""


@dataclass(slots=True)
class Rounds:
    """When a few pairs are scored again. Pure: monotonic seconds are passed in.

    Attributes:
        seconds: without any batch.
        batches: at most this many in between.
        last: when a batch or the pairs were scored last.
        since: batches since the pairs were.
        proved: when the pairs were.
        is_doubted: whether something was seen since that calls for them.
    """

    seconds: float
    batches: int
    last: float
    since: int = 0
    proved: float = -math.inf
    is_doubted: bool = False

    def batch_done(self, now: float) -> None:
        """A batch was scored."""
        self.last = now
        self.since += 1

    def done(self, now: float) -> None:
        """The pairs were scored."""
        self.last = self.proved = now
        self.since = 0
        self.is_doubted = False

    def is_due(self, now: float) -> bool:
        """Whether the pairs should be scored before the next batch."""
        is_doubted = self.is_doubted and now >= self.proved + _DOUBT_SECONDS
        return is_doubted or self.since >= self.batches or self.wait_seconds(now) <= 0.0

    def wait_seconds(self, now: float) -> float:
        """Return how long there must be no batch until they should."""
        return self.last + self.seconds - now
