"""A short run of `scripts/chaos`, and tests of its plan and its ledger."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.request import sigmoid
from shards.engines.fake import margin
from tests.system.chaos import chaos
from tests.system.chaos_ledger import Kind, Row, accesses, contradictions, judged
from tests.system.chaos_plan import POISONS, FaultKind, plan

_SECONDS = 18.0


@pytest.mark.timeout(400)
async def test_the_invariants_hold_under_chaos(tmp_path: Path) -> None:
    """No request is lost, answered twice or wrong; no innocent fails; nothing is left behind."""
    report = await chaos(tmp_path, seed=24, seconds=_SECONDS, requests=400)
    assert report.problems == []
    assert report.kills_and_stops + report.missed >= 5  # missed: no shard was ready just then
    assert len(report.rows) >= 200
    assert {row.kind for row in report.rows} == set(Kind)
    assert all(report.poison_deaths.values())  # their upper bound is one of the invariants


@pytest.mark.timeout(400)
async def test_the_invariants_hold_with_all_stores_of_scores(tmp_path: Path) -> None:
    """While Redis is killed and stopped, too."""
    report = await chaos(tmp_path, seed=25, seconds=_SECONDS, requests=400, cache="stores")
    assert report.problems == []
    assert report.redis_ends > 0
    assert report.sources["disk"] + report.sources["shared"] > 0


def test_a_seed_is_a_plan() -> None:
    assert plan(3, 60) == plan(3, 60) != plan(4, 60)
    assert len(plan(3, 600)) > 300
    assert {fault.kind for fault in plan(3, 600)} == set(FaultKind)


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_sends_every_poison_and_alone_at_first(seed: int) -> None:
    known: set[int] = set()
    for fault in plan(seed, 25):
        poison = fault.victim % len(POISONS)
        assert fault.kind is not FaultKind.BURST or poison in known
        known |= {poison} if fault.kind is FaultKind.POISON else set()
    assert len(known) == len(POISONS)


_RIGHT = {"results": [{"index": 0, "relevance_score": sigmoid(margin("q", "d"))}]}
_ERROR = {"error": {"message": "m", "type": "t", "code": "overloaded"}}


@pytest.mark.parametrize(
    ("status", "body", "outcome", "defect"),
    [
        (200, _RIGHT, "200", ""),
        (200, {"results": []}, "200", "wrong scores"),
        (200, {"results": [{"index": 0, "relevance_score": 0.5}]}, "200", "wrong scores"),
        (200, {"results": [{"index": 0}]}, "200", "unknown form"),
        (200, "text", "200", "unknown form"),
        (503, _ERROR, "503 overloaded", ""),
        (503, {"error": {"message": "m"}}, "503", "unknown form"),
        (500, "Internal Server Error", "500", "unknown form"),
    ],
)
def test_an_answer_is_judged(status: int, body: object, outcome: str, defect: str) -> None:
    judgement = judged("q", ["d"], status, body)
    assert judgement[0] == outcome
    assert (defect in judgement[1]) if defect else (judgement[1] == "")


_ROW = Row("c1-1", Kind.SMALL, 0.0, 0.1, 30.0, "200")


@pytest.mark.parametrize(
    ("row", "answers", "problem"),
    [
        (_ROW, [("c1-1", 200)], ""),
        (_ROW, [], "answered 0 times"),
        (_ROW, [("c1-1", 200), ("c1-1", 200)], "answered 2 times"),
        (_ROW, [("c1-1", 503)], "the log has 503"),
        (replace(_ROW, outcome="left"), [], ""),
        (replace(_ROW, outcome="left"), [("c1-1", 499)], ""),
        (replace(_ROW, outcome="lost"), [("c1-1", 200), ("c1-1", 200)], "answered 2 times"),
    ],
)
def test_the_ledger_is_compared_with_the_log_of_the_gateway(
    row: Row, answers: list[tuple[str, int]], problem: str
) -> None:
    found = list(contradictions([row], answers))
    assert len(found) == bool(problem)
    assert problem in "".join(found)


def test_answers_are_read_from_the_log() -> None:
    lines = [
        '{"event": "request", "request_id": "a", "code": 200, "logger": "gateway.access"}\n',
        '{"event": "shard x is lost", "logger": "gateway.supervision.supervisor"}\n',
        "a traceback\n",
        '  File "{"event": "x", "request_id": "b", "code": 503, "logger": "gateway.access"}\n',
    ]
    assert list(accesses(lines)) == [("a", 200), ("b", 503)]
