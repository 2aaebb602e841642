"""The rankings of one model for judged queries, and the cascade of two of them."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.cli import exit_codes
from gateway.cli.console import fail
from gateway.cli.measure.judged import JudgedQuery
from gateway.cli.score.batch import score_questions
from gateway.cli.score.progress import progress_bar
from gateway.cli.score.scorer import Scorer

if TYPE_CHECKING:
    from gateway.cli.measure.evaluation.keep import KeepFigures


@dataclass(frozen=True, slots=True)
class RerankedRun:
    """The ranking of a model.

    Attributes:
        orders: document ids by query, best first.
        errors: reasons of refused queries.
        warnings: warnings of the server or of the model.
        seconds: time of all scores, without the start of shards.
    """

    orders: Mapping[str, Sequence[str]]
    errors: Mapping[str, str]
    warnings: tuple[str, ...] = field(default=())
    seconds: float = 0.0


async def rerank(
    scoring: AbstractAsyncContextManager[Scorer], judged: Sequence[JudgedQuery]
) -> RerankedRun:
    """Return the ranking of the scorer; queries without candidates are not scored."""
    orders, errors = {}, {}
    questions = [each.question for each in judged if each.question.documents]
    with progress_bar(sum(len(question.documents) for question in questions)) as progress:
        async with scoring as scorer:
            begun = time.monotonic()
            async for found in score_questions(scorer, questions, progress.advance):
                id, documents, scores = found.question.id, found.question.documents, found.scores
                if found.error:
                    errors[id] = found.error
                    continue
                ranked = sorted(
                    zip(documents, scores, strict=True), key=lambda pair: -pair[1].rank_score
                )
                orders[id] = [document.id for document, _ in ranked]
            seconds = time.monotonic() - begun
        return RerankedRun(orders, errors, tuple(scorer.warnings), seconds)


def swept(
    judged: Sequence[JudgedQuery], first: RerankedRun, second: RerankedRun, seed: int
) -> "list[KeepFigures]":
    """Return the figures of the cascade for the queries that both models ranked.

    The command ends if no such query has a relevant document.
    """
    from gateway.cli.measure.evaluation.keep import TimedRun, sweep

    both = first.orders.keys() & second.orders.keys()
    grades = {each.question.id: each.grades for each in judged if each.question.id in both}
    if not has_relevant([each for each in judged if each.question.id in both]):
        fail("no query with a relevant document was ranked by both models", exit_codes.REFUSED)
    one, two = (
        TimedRun({query: run.orders[query] for query in grades}, run.seconds)
        for run in (first, second)
    )
    return sweep(one, two, grades, seed=seed)


def has_relevant(judged: Sequence[JudgedQuery]) -> bool:
    """Return whether a query has a document that is judged relevant."""
    return any(grade > 0 for each in judged for grade in each.grades.values())
