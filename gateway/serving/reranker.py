"""The use case: a request in, a ranked result out.

The pairs that are not in the score cache are cut into jobs and scored at once, wherever there is
room (`score_cache.shared_scoring`); all margins are put in input order, sorted and cut. A result is
whole or there is none: the first job that fails ends the others.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from gateway.config import INPUT_ORDER, OnDeadline
from gateway.domain.errors import DeadlineExceeded, GatewayError, ModelUnavailable
from gateway.domain.pair_faults import QUARANTINED, PairFault, client_error
from gateway.domain.request import ANONYMOUS, Caller, RerankRequest, RerankResult, Scored
from gateway.domain.timeline import Timeline
from gateway.scheduling.model import Model
from gateway.serving.pair_instructions import refuse_instructions
from gateway.serving.request_cleaning import CleanedRequest, clean
from gateway.serving.result_warnings import late_warning, ties, warnings_of
from gateway.serving.scatter_gather import rank
from gateway.serving.score_cache.score_cache import NO_USE, READS_AND_KEEPS, CacheUse, ScoreCache
from gateway.serving.score_cache.scoring import Scoring
from gateway.serving.score_cache.shared_scoring import SharedScoring
from gateway.serving.shadow_traffic import Shadows

_RETRY_SECONDS = 2


class Reranker:
    """Scores requests, and passes what was scored to the shadow traffic."""

    def __init__(self, shadows: Shadows, cache: ScoreCache) -> None:
        self._shadows = shadows
        self.cache = cache
        self._scoring = SharedScoring(cache, shadows)

    async def rerank(
        self,
        request: RerankRequest,
        *,
        model: Model,
        request_id: str,
        deadline: float,
        caller: Caller = ANONYMOUS,
        timeline: Timeline | None = None,
        note: str = "",
        use: CacheUse = READS_AND_KEEPS,
        on_deadline: OnDeadline | None = None,
    ) -> RerankResult:
        """Score a request.

        Args:
            request: what to score.
            model: the model that scores it.
            request_id: becomes the result's id.
            deadline: `time.monotonic()` seconds after which the answer has no use.
            caller: the caller whose turn the request takes in the queue.
            timeline: the record of the times of its jobs, filled as they are answered.
            note: the warning about the choice of this model; empty for the usual one.
            use: its use of the score cache.
            on_deadline: `partial` for an answer with what has a score by then; `None` for what the
                model is configured to do.

        Raises:
            GatewayError: why there is no result.
        """
        started = time.monotonic()
        cleaned = await clean(request, model.spec)
        request = cleaned.read
        refuse_quarantined(request, model, started)
        refuse_instructions(request, model.spec, model.replicas.facts)
        scoring = Scoring(
            request=request,
            model=model,
            deadline=deadline,
            remaining_seconds=deadline - started,
            caller=caller,
            timeline=timeline or Timeline(),
            use=use,
            # Pairs with a query each have no order that late ones could follow in.
            is_partial=(on_deadline or model.spec.on_deadline) == "partial"
            and len(request.queries) == 1,
        )
        await self._score(scoring)
        refuse_instructions(request, model.spec, model.replicas.facts)  # it may have been loading
        scored = await cleaned.spans_as_sent(scoring.scored(model.spec.scale))
        return self._result(scoring, cleaned, scored, request_id, note, started)

    def _result(
        self,
        scoring: Scoring,
        cleaned: CleanedRequest,
        scored: tuple[Scored, ...],
        request_id: str,
        note: str,
        started: float,
    ) -> RerankResult:
        """Return the result of what has been scored, and count it."""
        request, spec, facts = scoring.request, scoring.model.spec, scoring.model.replicas.facts
        on_time = [document for document in scored if document.stage != INPUT_ORDER]
        late, tied = len(scored) - len(on_time), ties(request, on_time)
        sources = Counter([document.source for document in on_time])
        reused = sum(document.tokens for document in on_time if document.source != "computed")
        self.cache.count(spec.name, sources, reused)
        self._count(scoring, cleaned, on_time, tied)
        is_confined = scoring.model.quarantine.confines(scoring.caller.id, time.monotonic())
        return RerankResult(
            id=request_id,
            model=spec.name,
            scored=scored,
            top=rank(scored, request.top_n),
            processing_seconds=time.monotonic() - started,
            created=int(time.time()),
            warnings=(
                *late_warning(late, len(scored)),
                *cleaned.warnings(),
                *warnings_of(request, scored, spec, facts, tied, note, is_confined),
            ),
            saved_tokens=reused + sum(answer.saved_tokens for answer in scoring.answers),
            degraded=(f"{spec.name}=partial",) if late else (),
            sources=sources if scoring.use != NO_USE else {},
        )

    async def _score(self, scoring: Scoring) -> None:
        """Score a request within its time; in part, if that is asked for and there is a part."""
        try:
            async with asyncio.timeout(scoring.remaining_seconds):
                await self._scoring.score(scoring)
        except (TimeoutError, DeadlineExceeded) as error:  # a shard may see the deadline first
            if scoring.is_partial and scoring.found:
                return
            if isinstance(error, DeadlineExceeded):
                raise
            raise too_late(scoring.model, round(scoring.remaining_seconds, 3)) from None

    def _count(
        self, scoring: Scoring, cleaned: CleanedRequest, scored: Sequence[Scored], tied: int
    ) -> None:
        """Count a result; offer it to the shadow of its model if all of it was computed now."""
        model = scoring.model
        computed = [document for document in scored if document.source == "computed"]
        model.accounting.result_given(computed, tied, cleaned=cleaned.texts)
        if model.spec.shadow is not None and len(computed) == len(scoring.keys):
            compute_seconds = sum(answer.compute_ns for answer in scoring.answers) / 1e9
            self._shadows.offer(cleaned.sent, model.spec, scored, compute_seconds)


def refuse_quarantined(request: RerankRequest, model: Model, now: float) -> None:
    """Refuse a request with a pair that ended shards, before it reaches one."""
    if not model.quarantine:
        return
    for index, document in enumerate(request.documents):
        query = request.queries[index if len(request.queries) > 1 else 0]
        if model.quarantine.is_refused(query, document.text, now):
            raise client_error(PairFault(QUARANTINED, index), request, index, "")


def too_late(model: Model, seconds: float) -> GatewayError:
    """Return the error of a request whose deadline has passed."""
    if refusal := model.occupant.too_late():
        return refusal
    if not model.replicas.ready:
        return ModelUnavailable(
            f"model {model.spec.name!r} did not become ready within {seconds:g} s: try again, or "
            "allow more time with the header X-Request-Timeout-Ms",
            retry_after_seconds=_RETRY_SECONDS,
        )
    return DeadlineExceeded(
        f"the scores did not come within {seconds:g} s: send fewer or shorter documents, or "
        "allow more time with the header X-Request-Timeout-Ms"
    )
