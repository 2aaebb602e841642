"""Two models scoring the same questions: the run of each, and how far the runs agree."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from statistics import fmean, median

from gateway.cli.measure.judged import JudgedQuery
from gateway.cli.score.batch import score_questions
from gateway.cli.score.progress import progress_bar
from gateway.cli.score.scorer import Score, Scorer
from gateway.telemetry.rank_correlation import kendall_tau, overlap_at_k, spearman_rho, top1


@dataclass(frozen=True, slots=True)
class ModelRun:
    """The scores of one model for all questions.

    Attributes:
        scores: scores by the id of the question, without refused questions.
        seconds: time of each question, scored one after the other.
        errors: reasons of refused questions.
        warnings: warnings of the server or of the model.
    """

    scores: Mapping[str, Sequence[Score]]
    seconds: Mapping[str, float]
    errors: Mapping[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two models over questions.

    Correlations and overlap are means; a question whose documents have equal scores in one run has
    no correlation. Differences are those of relevance scores, B minus A. `latency_ratio` is the
    median of B's time over A's, question by question.
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


async def run_model(
    scoring: AbstractAsyncContextManager[Scorer], judged: Sequence[JudgedQuery], name: str
) -> ModelRun:
    """Score and time the questions one by one; the first is scored once before, to warm up."""
    questions = [each.question for each in judged]
    scores: dict[str, Sequence[Score]] = {}
    seconds, errors = {}, {}
    documents = sum(len(question.documents) for question in questions)
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
        return ModelRun(scores, seconds, errors, tuple(scorer.warnings))


def agreement(judged: Sequence[JudgedQuery], a: ModelRun, b: ModelRun, k: int) -> Agreement:
    """Return the agreement of two runs on questions that are in both."""
    ids = [each.question.id for each in judged]
    ranked = [
        ([score.rank_score for score in a.scores[id]], [score.rank_score for score in b.scores[id]])
        for id in ids
    ]
    differences = [
        second.relevance_score - first.relevance_score
        for id in ids
        for first, second in zip(a.scores[id], b.scores[id], strict=True)
    ]
    return Agreement(
        questions=len(ids),
        documents=len(differences),
        kendall_tau=_mean([kendall_tau(*pair) for pair in ranked]),
        spearman_rho=_mean([spearman_rho(*pair) for pair in ranked]),
        top1=fmean(top1(*pair) for pair in ranked),
        overlap=fmean(overlap_at_k(*pair, k) for pair in ranked),
        mean_difference=fmean(differences),
        mean_absolute_difference=fmean(map(abs, differences)),
        largest_difference=max(differences, key=abs),
        latency_ratio=median(b.seconds[id] / a.seconds[id] for id in ids),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
