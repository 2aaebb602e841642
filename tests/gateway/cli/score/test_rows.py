"""Rows in packs: order, refused rows, limits of a server, bounded reading ahead."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

import pytest

from gateway.cli.inputs import BadRow, Document, Question
from gateway.cli.score.row_source import PackSize, Row, RowSource
from gateway.cli.score.rows import score_rows
from gateway.cli.score.scorer import ModelIdentity, Refused, RunRefused, Score, Unreachable
from gateway.domain.request import sigmoid
from shards.engines.fake import margin


class Margins:
    """A scorer with the fake engine's scores, which refuses some queries and records requests."""

    def __init__(self, *, most_pairs: int = 10_000, lost_after: int | None = None) -> None:
        self.warnings: dict[str, None] = {}
        self.sizes: list[int] = []
        self.gate: Callable[[int], asyncio.Event | None] = lambda _request: None
        self._most_pairs = most_pairs
        self._lost_after = lost_after

    async def score(self, query: str, documents: Sequence[str]) -> list[Score]:
        return await self.score_pairs([(query, document) for document in documents])

    async def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        number = len(self.sizes)
        self.sizes.append(len(pairs))
        if wait := self.gate(number):
            await wait.wait()
        if self._lost_after is not None and number >= self._lost_after:
            raise Unreachable("lost")
        if any(query == "no key" for query, _ in pairs):
            raise RunRefused("401")
        if len(pairs) > self._most_pairs or any("bad" in query for query, _ in pairs):
            raise Refused("400")
        margins = [margin(query, document) for query, document in pairs]
        return [Score(sigmoid(found), found) for found in margins]

    async def takes_parts(self) -> bool:
        return True

    async def takes_pairs(self) -> bool:
        return True

    async def identity(self) -> ModelIdentity:
        return ModelIdentity("margins")


def questions(*queries: str) -> list[Question]:
    return [Question(query, (Document("a"), Document("b"))) for query in queries]


async def scored(
    scorer: Margins, rows: Sequence[Row], size: PackSize, concurrency: int = 2
) -> list[tuple[str, str, list[float]]]:
    """Return name, error and scores of each row."""
    found: list[tuple[str, str, list[float]]] = []
    async for pack in score_rows(scorer, RowSource(iter(rows), may_block=False), size, concurrency):
        for row in pack:
            if isinstance(row, BadRow):
                found.append((f"row {row.number}", row.error, []))
            else:
                scores = [score.relevance_score for score in row.scores]
                found.append((row.question.query, row.error, scores))
    return found


def right(query: str) -> tuple[str, str, list[float]]:
    return query, "", [sigmoid(margin(query, document)) for document in ("a", "b")]


async def test_a_row_that_is_refused_costs_itself_only() -> None:
    queries = [f"q{number}" for number in range(40)]
    queries[17], queries[33] = "bad 17", "bad 33"
    rows: list[Row] = [*questions(*queries)]
    rows.insert(20, BadRow(21, "not JSON"))
    wanted = [right(query) if "bad" not in query else (query, "400", []) for query in queries]
    wanted.insert(20, ("row 21", "not JSON", []))
    scorer = Margins()
    assert await scored(scorer, rows, PackSize(rows=64)) == wanted
    assert len(scorer.sizes) < 30  # halves, not single rows


async def test_packs_over_a_limit_of_the_server_become_smaller() -> None:
    queries = [f"q{number}" for number in range(200)]
    scorer, size = Margins(most_pairs=20), PackSize(rows=64)
    assert await scored(scorer, questions(*queries), size, 1) == [right(each) for each in queries]
    assert size.most <= 10
    assert max(scorer.sizes[-5:]) <= 20


async def test_long_rows_are_scored_in_parts_among_others() -> None:
    long = Question("long", tuple(Document(f"d{number}") for number in range(300)))
    rows = [*questions("first", "second"), long, *questions("third")]
    scorer = Margins()
    found = await scored(scorer, rows, PackSize(rows=8))
    assert [found[0], found[1], found[3]] == [right("first"), right("second"), right("third")]
    assert found[2][2] == [sigmoid(margin("long", f"d{number}")) for number in range(300)]
    assert max(scorer.sizes) == 128


async def test_answers_keep_the_order_of_the_rows() -> None:
    first_waits = asyncio.Event()
    scorer = Margins()
    scorer.gate = lambda number: first_waits if number == 0 else None
    rows, size = questions(*(f"q{number}" for number in range(8))), PackSize(most=1)
    found: list[str] = []

    async def collect() -> None:
        found.extend(name for name, _, _ in await scored(scorer, rows, size, 4))

    collecting = asyncio.create_task(collect())
    while len(scorer.sizes) < 7:  # others went on
        await asyncio.sleep(0)
    first_waits.set()
    await collecting
    assert found == [f"q{number}" for number in range(8)]


async def test_rows_are_read_a_bounded_number_ahead() -> None:
    read = 0

    def rows() -> Iterator[Row]:
        nonlocal read
        for row in questions(*(f"q{number}" for number in range(10_000))):
            read += 1
            yield row

    yielded, most = 0, 0
    size = PackSize(rows=16, most=16)
    source = RowSource(rows(), may_block=False)
    async for pack in score_rows(Margins(), source, size, 3):
        yielded += len(pack)
        most = max(most, read - yielded)
    assert yielded == 10_000
    assert most <= (2 * 3 + 1) * 16


async def test_what_ends_a_run_comes_after_the_rows_before_it() -> None:
    for error, scorer, query in (
        (Unreachable, Margins(lost_after=3), "q"),
        (RunRefused, Margins(), "no key"),
    ):
        rows = questions("q0", "q1", "q2", query, "q4")
        found = []
        with pytest.raises(error):
            async for pack in score_rows(
                scorer, RowSource(iter(rows), may_block=False), PackSize(most=1), 2
            ):
                found += pack
        assert len(found) == 3
