"""Scoring of rows of any number: several packs at a time, answers in the order of the rows.

The documents of several rows share a request where the server takes pairs of query and document,
since a request costs far more than a pair of a small model. If such a request is refused, its rows
are sent in halves: so a row that cannot be scored costs itself only.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence

from gateway.cli.inputs import BadRow, Question
from gateway.cli.score.batch import PART_DOCUMENTS, ScoredQuestion, score_question
from gateway.cli.score.row_source import PackSize, Row, RowSource
from gateway.cli.score.scorer import Refused, RunRefused, Scorer

ScoredRow = ScoredQuestion | BadRow

CONCURRENCY = 4


async def score_rows(
    scorer: Scorer, source: RowSource, size: PackSize, concurrency: int
) -> AsyncIterator[list[ScoredRow]]:
    """Yield the scores of rows, pack by pack, in the order of the rows.

    At most twice as many packs as are scored at a time are held.

    Args:
        scorer: scores the rows.
        source: the rows.
        size: the size of packs.
        concurrency: maximum number of packs that are scored at a time.

    Raises:
        Unreachable: the server does not answer, or not any more.
        RunRefused: the server rejects every request of this run.
        BadInput: a file cannot be read.
    """
    packs = _Packs(scorer, size, concurrency)
    in_order: deque[asyncio.Task[list[ScoredRow]]] = deque()
    taking: asyncio.Task[list[Row]] | None = asyncio.create_task(source.take(size.rows))
    try:
        while taking or in_order:
            is_full = len(in_order) >= 2 * concurrency
            waits = [*list(in_order)[:1], *([taking] if taking and not is_full else [])]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if in_order and in_order[0].done():
                yield in_order.popleft().result()
            elif taking and taking.done():
                rows, taking = taking.result(), None
                if rows:
                    in_order.append(asyncio.create_task(packs.score(rows)))
                    taking = asyncio.create_task(source.take(size.rows))
    finally:
        left = [*in_order, *([taking] if taking else [])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class _Packs:
    """Scores packs, at most so many at a time."""

    def __init__(self, scorer: Scorer, size: PackSize, concurrency: int) -> None:
        self._scorer = scorer
        self._size = size
        self._slots = asyncio.Semaphore(concurrency)

    async def score(self, rows: Sequence[Row]) -> list[ScoredRow]:
        """Return the scores of the rows of a pack, or the reason why a row has none."""
        questions = [row for row in rows if isinstance(row, Question)]
        async with self._slots:
            started = time.monotonic()
            scored = iter(await self._score(questions))
            self._size.took(len(rows), time.monotonic() - started)
        return [row if isinstance(row, BadRow) else next(scored) for row in rows]

    async def _score(self, questions: Sequence[Question]) -> list[ScoredQuestion]:
        """Score questions in one request if they are short, each in its own if they are long."""
        short = [each for each in questions if len(each.documents) <= PART_DOCUMENTS]
        together = iter(await self._together(short) if short else ())
        return [
            next(together) if len(each.documents) <= PART_DOCUMENTS else await self._alone(each)
            for each in questions
        ]

    async def _together(self, questions: Sequence[Question]) -> list[ScoredQuestion]:
        """Score questions in one request; in two if it is refused, and so on."""
        if len(questions) == 1:
            return [await self._alone(questions[0])]
        pairs = [(each.query, document.text) for each in questions for document in each.documents]
        try:
            scores = iter(await self._scorer.score_pairs(pairs))
        except RunRefused:
            raise
        except Refused:
            middle = len(questions) // 2
            halves = [questions[:middle], questions[middle:]]
            found = [scored for half in halves for scored in await self._together(half)]
            if not any(scored.error for scored in found):
                self._size.was_refused(len(questions))
            return found
        return [
            ScoredQuestion(each, tuple([next(scores) for _ in each.documents]))
            for each in questions
        ]

    async def _alone(self, question: Question) -> ScoredQuestion:
        scored = await score_question(self._scorer, question, lambda _count: None)
        if scored.ends_run:
            raise RunRefused(scored.error)
        return scored
