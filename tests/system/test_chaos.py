"""The short edition of `scripts/chaos`, and what makes its verdict worth something."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain import sigmoid
from shards.engines.fake import margin
from tests.system.chaos import chaos
from tests.system.chaos_ledger import Kind, Row, accesses, contradictions, judged
from tests.system.chaos_plan import POISONS, Act, plan

_SECONDS = 18.0


@pytest.mark.timeout(180)
async def test_nobody_notices_the_chaos_but_for_time(tmp_path: Path) -> None:
    """No request is lost, answered twice or wrong; no innocent fails; nothing is left behind."""
    report = await chaos(tmp_path, seed=24, seconds=_SECONDS)
    assert report.problems == []
    assert report.kills_and_stops >= 5
    assert len(report.rows) >= 200
    assert {row.kind for row in report.rows} == set(Kind)
    assert set(report.poison_deaths.values()) == {2}


def test_a_seed_is_a_plan() -> None:
    assert plan(3, 60) == plan(3, 60) != plan(4, 60)
    assert len(plan(3, 600)) > 300
    assert {blow.act for blow in plan(3, 600)} == set(Act)


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_sends_every_poison_and_alone_at_first(seed: int) -> None:
    known: set[int] = set()
    for blow in plan(seed, 25):
        poison = blow.victim % len(POISONS)
        assert blow.act is not Act.BURST or poison in known
        known |= {poison} if blow.act is Act.POISON else set()
    assert len(known) == len(POISONS)


_RIGHT = {"results": [{"index": 0, "relevance_score": sigmoid(margin("q", "d"))}]}
_ERROR = {"error": {"message": "m", "type": "t", "code": "overloaded"}}


@pytest.mark.parametrize(
    ("status", "body", "outcome", "fault"),
    [
        (200, _RIGHT, "200", ""),
        (200, {"results": []}, "200", "wrong scores"),
        (200, {"results": [{"index": 0, "relevance_score": 0.5}]}, "200", "wrong scores"),
        (200, {"results": [{"index": 0}]}, "200", "no known form"),
        (200, "text", "200", "no known form"),
        (503, _ERROR, "503 overloaded", ""),
        (503, {"error": {"message": "m"}}, "503", "no known form"),
        (500, "Internal Server Error", "500", "no known form"),
    ],
)
def test_an_answer_is_judged(status: int, body: object, outcome: str, fault: str) -> None:
    judgement = judged("q", ["d"], status, body)
    assert judgement[0] == outcome
    assert (fault in judgement[1]) if fault else (judgement[1] == "")


_ROW = Row("c1-1", Kind.SMALL, 0.0, 0.1, 30.0, "200")


@pytest.mark.parametrize(
    ("row", "answers", "problem"),
    [
        (_ROW, [("c1-1", 200)], ""),
        (_ROW, [], "answered 0 times"),
        (_ROW, [("c1-1", 200), ("c1-1", 200)], "answered 2 times"),
        (_ROW, [("c1-1", 503)], "the gateway says 503"),
        (replace(_ROW, outcome="left"), [], ""),
        (replace(_ROW, outcome="left"), [("c1-1", 499)], ""),
        (replace(_ROW, outcome="lost"), [("c1-1", 200), ("c1-1", 200)], "answered 2 times"),
    ],
)
def test_the_log_of_the_gateway_is_held_against_the_ledger(
    row: Row, answers: list[tuple[str, int]], problem: str
) -> None:
    found = list(contradictions([row], answers))
    assert len(found) == bool(problem)
    assert problem in "".join(found)


def test_the_log_is_read_for_answers() -> None:
    lines = [
        '{"event": "request", "request_id": "a", "code": 200, "logger": "gateway.access"}\n',
        '{"event": "shard x is lost", "logger": "gateway.supervisor"}\n',
        "a traceback\n",
        '  File "{"event": "request", "request_id": "b", "code": 503, "logger": "gateway.access"}\n',
    ]
    assert list(accesses(lines)) == [("a", 200), ("b", 503)]
