"""Two models asked the same questions: what each made of them, and how far they agree."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from statistics import fmean, median

from gateway.agreement import kendall_tau, overlap_at_k, spearman_rho, top1
from gateway.cli.judged import Judged
from gateway.cli.scorers import Score, Scorer
from gateway.cli.scoring import progress_bar, score_questions


@dataclass(frozen=True, slots=True)
class Side:
    """What one model made of the questions.

    Attributes:
        scores: of each question that it answered, by the question's id.
        seconds: how long each took, asked one after the other.
        errors: why questions were refused.
        warnings: what those who scored have to say.
    """

    scores: Mapping[str, Sequence[Score]]
    seconds: Mapping[str, float]
    errors: Mapping[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two models agree, over questions.

    Correlations and overlap are means; a question whose documents one side scores all the same has
    no correlation. Differences are those of relevance scores, B less A. `latency_ratio` is the median
    of B's time over A's, question by question.
    """

    questions: int
    documents: int
    kendall_tau: float | None
    spearman_rho: float | None
    top1: float
    overlap: float
    mean_difference: float
    mean_absolute_difference: float
    largest_difference: float
    latency_ratio: float


async def answers(
    scoring: AbstractAsyncContextManager[Scorer], judged: Sequence[Judged], name: str
) -> Side:
    """Ask one question at a time, and note how long each takes; the first one is asked twice."""
    questions = [one.question for one in judged]
    scores: dict[str, Sequence[Score]] = {}
    seconds, errors = {}, {}
    documents = sum(len(one.documents) for one in questions)
    with progress_bar(documents, title=name) as progress:
        async with scoring as scorer:
            async for _warm_up in score_questions(scorer, questions[:1], lambda _: None, ahead=0):
                pass
            started = time.perf_counter()
            async for found in score_questions(scorer, questions, progress.advance, ahead=0):
                id, now = found.question.id, time.perf_counter()
                if found.error:
                    errors[id] = found.error
                else:
                    scores[id], seconds[id] = found.scores, now - started
                started = time.perf_counter()
        return Side(scores, seconds, errors, tuple(scorer.warnings))


def agreement(judged: Sequence[Judged], left: Side, right: Side, k: int) -> Agreement:
    """Return how far two sides agree on questions that both have answered."""
    ids = [one.question.id for one in judged]
    orders = [
        ([one.order for one in left.scores[id]], [one.order for one in right.scores[id]])
        for id in ids
    ]
    less = [
        second.relevance_score - first.relevance_score
        for id in ids
        for first, second in zip(left.scores[id], right.scores[id], strict=True)
    ]
    return Agreement(
        questions=len(ids),
        documents=len(less),
        kendall_tau=_mean([kendall_tau(*pair) for pair in orders]),
        spearman_rho=_mean([spearman_rho(*pair) for pair in orders]),
        top1=fmean(top1(*pair) for pair in orders),
        overlap=fmean(overlap_at_k(*pair, k) for pair in orders),
        mean_difference=fmean(less),
        mean_absolute_difference=fmean(map(abs, less)),
        largest_difference=max(less, key=abs),
        latency_ratio=median(right.seconds[id] / left.seconds[id] for id in ids),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return fmean(known) if known else None
