"""Cascades: one model orders all documents, and a second one scores the best of them again.

The documents that the second model does not score follow in the order of the first. Their margins
are made for their place: each lies below every margin of the second model.
"""

import math
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from msgspec.structs import replace

from gateway.config import INPUT_ORDER, CascadeSpec, OnDeadline
from gateway.domain.errors import DeadlineExceeded, Overloaded
from gateway.domain.request import RerankRequest, RerankResult, Scored
from gateway.scheduling.model import Model
from gateway.serving.result_warnings import DEGRADED, late_warning
from gateway.serving.scatter_gather import rank
from gateway.serving.time_share import part_of_time
from gateway.serving.unscored import below, unscored

Score: TypeAlias = Callable[..., Coroutine[object, object, RerankResult]]
"""`Reranker.rerank`, or a part of its arguments given already."""

_FIRST_SHARE = 0.5
"""The share of the time for a first stage that is answered in part: the second one needs some."""

_LEAST_STEP = 1e-9
"""The distance of two made margins whose documents the first model distinguishes."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """A cascade and its models."""

    spec: CascadeSpec
    first: Model
    then: Model

    @property
    def models(self) -> tuple[str, str]:
        """The public names of both models, in their order."""
        return self.spec.models

    async def rerank(
        self,
        request: RerankRequest,
        score: Score,
        *,
        deadline: float,
        on_deadline: OnDeadline | None = None,
        note: str = "",
    ) -> RerankResult:
        """Score a request in two stages; in one, where there is nothing to leave out.

        Pairs that have a query each are not ranked among each other: the second model scores all.

        Args:
            request: the request.
            score: scores it by one model.
            deadline: monotonic seconds, the deadline that `score` has for both stages.
            on_deadline: the choice of the client, which `score` has, too.
            note: the reason for this cascade, if its name was not asked for.

        Raises:
            GatewayError: why one of the stages has no result.
        """
        keep = self.spec.keep
        is_whole = len(request.documents) <= keep and self.spec.within is None
        if is_whole or len(request.queries) > 1:
            return await self._whole(request, score, note)
        share = _FIRST_SHARE if _is_partial(self.first, on_deadline) else 1.0
        part = _for(request, self.spec.first)
        every = await score(part, model=self.first, deadline=part_of_time(deadline, share))
        kept = kept_by(every.top, keep, self.spec.within)
        part = _for(request.only(kept), self.spec.then)
        try:
            best = await score(part, model=self.then)
        except (DeadlineExceeded, Overloaded):
            if not _is_partial(self.then, on_deadline):
                raise
            best = _all_late(every, part, self.spec.then)
        return merged(self.spec, every, best, kept, request, note)

    async def _whole(self, request: RerankRequest, score: Score, note: str) -> RerankResult:
        spec = self.spec
        result = await score(replace(request, model=spec.then), model=self.then)
        scored = tuple(_with_stage(one, result.model) for one in result.scored)
        found, total = sum(one.stage != INPUT_ORDER for one in scored), len(scored)
        how_many = "all" if found == total else f"{found} of {total}"
        own = f"{spec.name!r} is a cascade here: {result.model!r} scored {how_many} documents"
        return replace(
            result,
            model=spec.name,
            scored=scored,
            top=rank(scored, request.top_n),
            warnings=(*([note] if note else ()), *([own] if found else ()), *result.warnings),
        )


def _is_partial(model: Model, on_deadline: OnDeadline | None) -> bool:
    return (on_deadline or model.spec.on_deadline) == "partial"


def _with_stage(scored: Scored, model: str) -> Scored:
    """Return a document with the model that scored it; a late one has its stage already."""
    return scored if scored.stage else replace(scored, stage=model)


def _for(request: RerankRequest, model: str) -> RerankRequest:
    """Return the request for one stage: all of its results are needed, and no other warnings."""
    return replace(request, model=model, top_n=None, warnings=())


def _all_late(every: RerankResult, part: RerankRequest, model: str) -> RerankResult:
    """Return the result of a second stage that has no score at the deadline."""
    scored = tuple(unscored(range(len(part.documents))))
    return replace(
        every,
        model=model,
        scored=scored,
        top=scored,
        processing_seconds=0.0,
        warnings=tuple(late_warning(len(scored), len(scored))),
        saved_tokens=0,
        degraded=(f"{model}=partial",),
        sources={},
    )


def kept_by(ranked: Sequence[Scored], keep: int, within: float | None) -> tuple[int, ...]:
    """Return the places of the documents that go on to the second model, the best first.

    Args:
        ranked: all documents, the best first.
        keep: the most of them.
        within: the largest distance of a margin from the best one; `None` for any.
    """
    lowest = -math.inf if within is None else ranked[0].margin - within
    return tuple([one.index for one in ranked[:keep] if one.margin >= lowest])


def merged(
    spec: CascadeSpec,
    every: RerankResult,
    best: RerankResult,
    kept: Sequence[int],
    request: RerankRequest,
    note: str = "",
) -> RerankResult:
    """Return the result of both stages.

    Args:
        spec: the cascade.
        every: the result of the first model, for all documents.
        best: that of the second one, for the documents of `kept`, in that order.
        kept: their places in the request.
        request: the request.
        note: the reason for this cascade, if its name was not asked for.
    """
    again = {
        place: found
        for place, found in zip(kept, best.scored, strict=True)
        if found.stage != INPUT_ORDER  # late, or kept in its order by a fallback
    }
    follow = _following(every, again)
    scored = tuple(
        _twice(once, again[once.index], best.model) if once.index in again else follow[once.index]
        for once in every.scored
    )
    top = rank(scored, request.top_n)
    return replace(
        best,
        model=spec.name,
        scored=scored,
        top=top,
        processing_seconds=every.processing_seconds + best.processing_seconds,
        warnings=tuple(_warnings(spec, every, best, again, top, request, note)),
        saved_tokens=every.saved_tokens + best.saved_tokens,
        degraded=(*every.degraded, *best.degraded),
        sources=Counter(every.sources) + Counter(best.sources),
    )


def _twice(once: Scored, again: Scored, model: str) -> Scored:
    """Return the score of a document that both stages scored; `model` is the second one."""
    return replace(
        again,
        index=once.index,
        tokens=once.tokens + again.tokens,
        truncated=once.truncated or again.truncated,
        stage=model,
    )


def _following(every: RerankResult, again: Mapping[int, Scored]) -> dict[int, Scored]:
    """Return the documents that the second stage has no score for, by their places.

    Their margins fall in the order of the first stage, from below the lowest one of the second;
    where that has none at all, they are those of the first.
    """
    model = every.model  # a fallback may have scored
    if not again:
        return {once.index: _with_stage(once, model) for once in every.scored}
    found = list(again.values())
    highest, scale = below(found), found[0].calibration
    follow: dict[int, Scored] = {}
    before, made = math.inf, math.inf
    for once in every.top:
        if once.index in again:
            continue
        if once.margin != before:  # probabilities near 1 round to the same margin
            made = min(highest + _log_probability(once), made - _LEAST_STEP)
            before = once.margin
        staged = _with_stage(once, model)
        follow[once.index] = replace(staged, margin=made, calibration=scale)
    return follow


def _log_probability(scored: Scored) -> float:
    log_odds = scored.calibration.slope * scored.margin + scored.calibration.intercept
    return min(log_odds, 0.0) - math.log1p(math.exp(-abs(log_odds)))


def _warnings(
    spec: CascadeSpec,
    every: RerankResult,
    best: RerankResult,
    again: Mapping[int, Scored],
    top: Sequence[Scored],
    request: RerankRequest,
    note: str,
) -> Iterator[str]:
    if note:
        yield note
    kept, follow = len(best.scored), sum(one.index not in again for one in top)
    which = f"the best {kept}" if len(again) == kept else f"{len(again)} of the best {kept}"
    yield (
        f"{spec.name!r} is a cascade here: {every.model!r} ordered {len(every.scored)} documents, "
        f"{best.model!r} scored {which}"
        + (f", and {follow} results follow in the order of {every.model!r}" if follow else "")
    )
    yield from (_of_stage(spec.first, warning) for warning in every.warnings)
    yield from (_of_stage(spec.then, warning) for warning in best.warnings)
    yield from request.warnings


def _of_stage(model: str, warning: str) -> str:
    """Return the warning with its model; the mark of a degraded result stays in front."""
    if warning.startswith(DEGRADED):
        return f"{DEGRADED}{model!r}: {warning.removeprefix(DEGRADED)}"
    return f"{model!r}: {warning}"
