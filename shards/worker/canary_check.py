"""The canaries of a loaded engine: all of them after a load, a few now and then.

The spec's `canary` sets the requirement:

    full     the built-in pairs and the operator's own are in order, with a spread
    own      the operator's own alone
    numeric  scores are numbers, and not all equal: for weights that are random on purpose

In every mode the same weights must give the same scores as in an earlier process, and later as
after the load. A few pairs are scored again between batches, and as soon as a score was no number.
They are three short pairs, so that this costs little.
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
from shards.engines.base import Engine, afresh, readable
from shards.pairs import QueryTooLong, TokenizedPair
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.messages import Canary
from shards.wire.spec import OwnCanary, ShardSpec
from shards.worker.runner import work_of

MODES = ("full", "own", "numeric")

_PAIRS_AGAIN = 3
_TIMINGS = 2
_DOUBT_SECONDS = 10.0  # between rounds for a doubt: some inputs might raise one again and again
_NUMERIC = (
    "canary = numeric: the scores were checked to be numbers, not to mean anything; do not rely on "
    "them unless this is on purpose"
)


class CanaryFailed(Refusal):
    """The engine gives wrong scores, and may not serve."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__(f"the canary failed: {'; '.join(findings)}", ExitCode.CANARY)


class CanaryCheck:
    """The canaries of one loaded engine.

    Attributes:
        mode: the requirement; `numeric` for an engine whose scores have no meaning.
        rounds: the schedule for scoring a few pairs again.
        timings: tokens and nanoseconds of batches of two sizes after the load; empty without pairs.
    """

    def __init__(self, engine: Engine, spec: ShardSpec) -> None:
        facts = engine.facts
        self._engine = engine
        self._score_afresh = afresh(engine)  # a kept vector would hide a fault
        self._spec = spec
        self.mode = spec.canary if facts.has_meaning else "numeric"
        languages = facts.languages if self.mode == "full" else ("en",)
        self._pairs = known_pairs(languages)
        self._is_declared = any(pair.language in languages for pair in self._pairs)
        self._fingerprint = _fingerprint(self._pairs, spec, facts.fingerprint)
        self._margins: tuple[float, ...] = ()
        self.timings: tuple[tuple[int, int], ...] = ()
        self.rounds = Rounds(spec.canary_seconds, spec.canary_batches, time.monotonic())
        self._pairs_again: tuple[TokenizedPair, ...] = ()

    @property
    def tokens(self) -> int:
        """The tokens that `again` computes, padding included."""
        return max(map(len, self._pairs_again), default=0) * len(self._pairs_again)

    @property
    def doubts(self) -> tuple[str, ...]:
        """The warnings that clients get with their scores."""
        return (_NUMERIC,) if self.mode == "numeric" and self._engine.facts.has_meaning else ()

    def after_load(self, report: Report) -> tuple[Canary, tuple[str, ...]]:
        """Score all pairs; return the message about them, and notes for the operator."""
        started_ns = time.monotonic_ns()
        try:
            if not self._scores_as_remembered(report):
                self._score_known(report)
            own = [self._own(place, canary) for place, canary in enumerate(self._spec.canaries, 1)]
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
        return self._message(findings, verdict, started_ns, after_load=True), verdict.notes

    def again(self) -> Canary:
        """Score a few pairs; they must have the scores that they had after the load."""
        started_ns = time.monotonic_ns()
        margins = self._score(self._pairs_again)
        found = judge_same(
            margins,
            self._margins[: len(margins)],
            (self._engine.facts.dtype,),
            since="when the model was loaded",
        )
        findings = (found,) if found else ()
        return self._message(findings, Verdict(findings), started_ns, after_load=False)

    def _message(
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

    def _scores_as_remembered(self, report: Report) -> bool:
        """Return whether a few pairs have the scores of an earlier process with the same files.

        Then its margins stand for those of all pairs, which have passed: a restart takes less time.
        """
        before = self._spec.remembered
        if before is None or not self._fingerprint or before.fingerprint != self._fingerprint:
            return False
        if before.dtype != self._engine.facts.dtype or len(before.margins) != len(self._pairs):
            return False
        report("canary: a few known pairs, as after the last load")
        few = self._pairs[:_PAIRS_AGAIN]
        pairs = tuple(self._tokenized(pair.query, pair.document) for pair in few)
        margins = self._score_apart(pairs)
        if judge_same(margins, before.margins[: len(margins)], (before.dtype,), since=""):
            return False  # all pairs are scored, and the findings name what has changed
        self._pairs_again, self._margins = pairs, before.margins
        return True

    def _score_known(self, report: Report) -> None:
        """Score the built-in pairs; where their order is not required, only if they fit."""
        margins: list[float] = []
        for language, group in groupby(self._pairs, key=lambda pair: pair.language):
            report(f"canary: known pairs, {language}")
            try:
                pairs = [self._tokenized(pair.query, pair.document) for pair in group]
            except QueryTooLong:
                if self.mode == "full":
                    raise
                self._pairs = ()
                return
            is_first = not self._pairs_again
            self._pairs_again = self._pairs_again or tuple(pairs[:_PAIRS_AGAIN])
            margins += self._score_apart(pairs) if is_first else self._score(pairs)
        self._margins = tuple(margins)

    def _score(self, pairs: Sequence[TokenizedPair]) -> list[float]:
        """Score pairs, as many at once as fit a batch."""
        at_once = max(1, self._engine.facts.token_budget // max(map(len, pairs), default=1))
        margins: list[float] = []
        for start in range(0, len(pairs), at_once):
            batch, started_ns = pairs[start : start + at_once], time.monotonic_ns()
            margins += self._score_afresh(batch)
            taken_ns = time.monotonic_ns() - started_ns
            if len(self.timings) < _TIMINGS:
                self.timings += ((sum(work_of(self._engine, batch).computed), taken_ns),)
        return margins

    def _score_apart(self, pairs: Sequence[TokenizedPair]) -> list[float]:
        """Score a pair alone and then the others: batches of two sizes, whose time is noted."""
        return [*self._score(pairs[:1]), *self._score(pairs[1:])]

    def _own(self, place: int, canary: OwnCanary) -> Own:
        texts = [text for text in (canary.right, canary.wrong) if text is not None]
        pairs = [self._tokenized(canary.query, text) for text in texts]
        margins = [self._score_afresh([pair])[0] for pair in pairs]
        return Own(
            place=place,
            right=margins[0],
            wrong=margins[1] if canary.wrong is not None else None,
            right_score=canary.right_score,
            wrong_score=canary.wrong_score,
            tolerance=canary.tolerance,
        )

    def _tokenized(self, query: str, document: str) -> TokenizedPair:
        tokenizer = self._engine.tokenizer
        query = readable(tokenizer, query)
        (pair,) = tokenizer.tokenize(query, (document,), instruction="", max_document_tokens=0)
        return pair

    def _changes(self) -> tuple[Finding, ...]:
        """Compare with an earlier process that had the same weights."""
        before = self._spec.remembered
        if before is None or not self._fingerprint or before.fingerprint != self._fingerprint:
            return ()
        dtypes = (before.dtype, self._engine.facts.dtype)
        found = judge_same(
            self._margins, before.margins, dtypes, since="when the same weights were loaded before"
        )
        return (found,) if found else ()


def _fingerprint(pairs: Sequence[Pair], spec: ShardSpec, files: str) -> str:
    """Return a hash of all that margins depend on; empty if the engine has no files."""
    prompt = (
        *(spec.engine, spec.template, spec.instruction, str(spec.guard_special_tokens)),
        *(spec.scorer, str(spec.query_prompt), str(spec.document_prompt)),
    )
    texts = [text for pair in pairs for text in (pair.query, pair.document)]
    joined = "\0".join([files, *prompt, str(spec.max_length), *texts])
    return hashlib.sha256(joined.encode()).hexdigest()[:32] if files else ""


@dataclass(slots=True)
class Rounds:
    """The schedule for scoring a few pairs again. Pure: monotonic seconds are passed in.

    Attributes:
        seconds: the longest time without a batch or a round.
        batches: the most batches between two rounds.
        last: when a batch or the pairs were scored last.
        since: batches since the last round.
        checked: when the last round was.
        is_doubted: whether a score since then calls for a round.
    """

    seconds: float
    batches: int
    last: float
    since: int = 0
    checked: float = -math.inf
    is_doubted: bool = False

    def batch_done(self, now: float) -> None:
        """Record that a batch was scored."""
        self.last = now
        self.since += 1

    def done(self, now: float) -> None:
        """Record that the pairs were scored."""
        self.last = self.checked = now
        self.since = 0
        self.is_doubted = False

    def is_due(self, now: float) -> bool:
        """Return whether the pairs should be scored before the next batch."""
        is_doubted = self.is_doubted and now >= self.checked + _DOUBT_SECONDS
        return is_doubted or self.since >= self.batches or self.wait_seconds(now) <= 0.0

    def wait_seconds(self, now: float) -> float:
        """Return the seconds without a batch until the pairs should be scored."""
        return self.last + self.seconds - now
