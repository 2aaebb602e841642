"""Scoring of a list of questions, a few at a time.

Documents are scored in parts, which shows progress and allows a question of any length: a model's
score depends on its own query and document only, so the parts can be joined. A cascade gets its
documents in one request.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from gateway.cli.inputs import Question
from gateway.cli.score.scorer import Refused, RunRefused, Score, Scorer

PART_DOCUMENTS = 128
"""Documents of one question that are scored together."""

QUESTIONS_AHEAD = 4
"""Questions in progress beside the one that is yielded next."""


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """The scores of a question's documents, in their order, or the reason why there are none.

    Attributes:
        ends_run: whether other questions would be rejected for the same reason.
    """

    question: Question
    scores: tuple[Score, ...] = ()
    error: str = ""
    ends_run: bool = False


async def score_questions(
    scorer: Scorer,
    questions: Iterable[Question],
    advance: Callable[[int], None],
    *,
    ahead: int = QUESTIONS_AHEAD,
) -> AsyncIterator[ScoredQuestion]:
    """Yield the scores of each question in order, with a few more questions in progress.

    `advance` is called with the number of documents of each part. Raises `Unreachable`.
    """
    in_progress: deque[asyncio.Task[ScoredQuestion]] = deque()
    try:
        for question in questions:
            in_progress.append(asyncio.create_task(score_question(scorer, question, advance)))
            if len(in_progress) > ahead:
                yield await in_progress.popleft()
        while in_progress:
            yield await in_progress.popleft()
    finally:
        for task in in_progress:
            task.cancel()
        await asyncio.gather(*in_progress, return_exceptions=True)


async def score_question(
    scorer: Scorer, question: Question, advance: Callable[[int], None]
) -> ScoredQuestion:
    """Score the documents of a question, in parts; raises `Unreachable`."""
    documents = question.documents
    scores: list[Score] = []
    try:
        has_parts = len(documents) > PART_DOCUMENTS and await scorer.takes_parts()
        size = PART_DOCUMENTS if has_parts else max(1, len(documents))
        for start in range(0, len(documents), size):
            part = documents[start : start + size]
            scores += await scorer.score(question.query, [document.text for document in part])
            advance(len(part))
    except Refused as error:
        ends_run = isinstance(error, RunRefused)
        return ScoredQuestion(question, error=str(error), ends_run=ends_run)
    return ScoredQuestion(question, tuple(scores))
