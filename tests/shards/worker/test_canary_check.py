"""The canaries of an engine: after a load, against earlier processes, and now and then."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shards.canary import known_pairs
from shards.engines import load_engine
from shards.engines.fake import FakeTokenizer, margin
from shards.pairs import Batch
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.facts import Facts
from shards.wire.messages import Canary
from shards.wire.spec import OwnCanary, Remembered, ShardSpec
from shards.worker.canary_check import CanaryCheck, Rounds
from tests import checkpoints

EMBEDDED = Path(__file__).parents[3] / "shards" / "models"
SPEC = ShardSpec(name="m/cpu", model="m", source="m")
FACTS = Facts(
    engine="test",
    device="cpu",
    dtype="fp32",
    max_length=100,
    token_budget=200,
    fingerprint="weights",
    languages=("en", "ru"),
)
ANSWERS = {margin(pair.query, pair.document): pair.is_right for pair in known_pairs()}


class Scoring:
    """An engine whose margins depend on the pair's checksum and on whether it is right."""

    def __init__(self, judge: Callable[[float, bool], float], facts: Facts = FACTS) -> None:
        self.facts = facts
        self.tokenizer = FakeTokenizer(facts.max_length)
        self.judge = judge
        self.batches: list[int] = []

    def warm_up(self) -> None:
        """See `Engine`; there is nothing to warm."""

    def score(self, batch: Batch) -> list[float]:
        self.batches.append(len(batch))
        carried = [pair.token_ids[0] / (1 << 20) - 8.0 for pair in batch]
        return [self.judge(checksum, ANSWERS.get(checksum, False)) for checksum in carried]


def trained(checksum: float, is_right: bool) -> float:
    return checksum / 8 + (5.0 if is_right else -5.0)


def random(checksum: float, is_right: bool) -> float:
    return checksum


def check(
    judge: Callable[[float, bool], float] = trained, facts: Facts = FACTS, **settings: Any
) -> tuple[Canary, tuple[str, ...]]:
    return CanaryCheck(Scoring(judge, facts), replace(SPEC, **settings)).after_load(
        lambda _line: None
    )


def findings(
    judge: Callable[[float, bool], float] = trained, facts: Facts = FACTS, **settings: Any
) -> str:
    return "; ".join(check(judge, facts, **settings)[0].findings)


@pytest.mark.parametrize("name", ["embedded-bert", "embedded-qwen3"])
def test_the_embedded_models_have_their_declared_languages_in_order(name: str) -> None:
    spec = replace(SPEC, source=str(EMBEDDED / name), offline=True)
    engine = load_engine(spec, lambda _line: None)
    canary, notes = CanaryCheck(engine, spec).after_load(lambda _line: None)
    assert (canary.mode, canary.findings, notes) == ("full", (), ())
    assert engine.facts.languages == ("en", "ru")
    assert len(canary.margins) == 18
    assert canary.spread[0] > 2


def test_the_pairs_are_those_of_the_languages_that_the_checkpoint_names() -> None:
    lines: list[str] = []
    canary, _ = CanaryCheck(Scoring(trained), SPEC).after_load(lines.append)
    assert lines == ["canary: known pairs, en", "canary: known pairs, ru"]
    assert canary.findings == ()
    assert len(check(facts=replace(FACTS, languages=()))[0].margins) == len(known_pairs())


def test_batches_keep_to_the_token_budget() -> None:
    engine = Scoring(trained, replace(FACTS, token_budget=60))
    CanaryCheck(engine, SPEC).after_load(lambda _line: None)
    assert sum(engine.batches) == 18
    assert max(engine.batches) == 3


@pytest.mark.parametrize("make", [checkpoints.bert, checkpoints.qwen3])
def test_a_random_checkpoint_is_distinguished_from_a_trained_one(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    spec = replace(SPEC, source=str(make(tmp_path)), offline=True, dtype="fp32")
    engine = load_engine(spec, lambda _line: None)
    canary, _ = CanaryCheck(engine, spec).after_load(lambda _line: None)
    assert "wrong order" in "".join(canary.findings)
    canary, _ = CanaryCheck(engine, replace(spec, canary="numeric")).after_load(lambda _line: None)
    assert canary.findings == ()


def test_random_weights_are_refused_with_the_remedy() -> None:
    found = findings(random)
    assert "known pairs are in the wrong order (en, ru)" in found
    assert "--canary numeric" in found


def test_random_weights_are_served_on_purpose() -> None:
    canary_check = CanaryCheck(Scoring(random), replace(SPEC, canary="numeric"))
    canary, notes = canary_check.after_load(lambda _line: None)
    assert (canary.mode, canary.findings, canary.spread, notes) == ("numeric", (), (), ())
    assert "not to mean anything" in canary_check.doubts[0]
    assert "not a number" in findings(lambda *_: math.nan, canary="numeric")
    assert "every pair has the same score" in findings(lambda *_: 1.5, canary="numeric")


def test_scores_without_meaning_must_only_be_numbers() -> None:
    canary_check = CanaryCheck(Scoring(random, replace(FACTS, has_meaning=False)), SPEC)
    canary, _ = canary_check.after_load(lambda _line: None)
    assert (canary.mode, canary.findings, canary_check.doubts) == ("numeric", (), ())


OWN = OwnCanary(query="reset password", right="Press forgot password.", wrong="Bananas are yellow.")


@pytest.mark.parametrize("mode", ["full", "own"])
def test_the_operators_pairs_are_scored_and_compared(mode: str) -> None:
    by_length = {margin("reset password", OWN.right): True}

    def expert(checksum: float, is_right: bool) -> float:
        return trained(checksum, is_right or checksum in by_length)

    assert findings(expert, canary=mode, canaries=(OWN,)) == ""
    swapped = replace(OWN, right=str(OWN.wrong), wrong=OWN.right)
    assert "canary 1: its right document has margin" in findings(
        expert, canary=mode, canaries=(swapped,)
    )
    scored = replace(OWN, right_score=0.2)
    assert "0.2 is expected" in findings(expert, canary=mode, canaries=(scored,))


def test_a_model_of_another_field_is_checked_by_its_own_pairs() -> None:
    only_right = replace(OWN, wrong=None, right_score=0.5, tolerance=0.5)
    assert findings(random, canary="own", canaries=(only_right,)) == ""
    assert "wrong order" in findings(random, canary="full", canaries=(only_right,))


def remembered(canary: Canary, change: float = 0.0, **changes: Any) -> Remembered:
    margins = tuple(margin + change for margin in canary.margins)
    return replace(Remembered(canary.fingerprint, canary.dtype, margins), **changes)


@pytest.mark.parametrize("mode", ["full", "numeric"])
def test_the_same_weights_must_score_as_they_did(mode: str) -> None:
    canary, _ = check(canary=mode)
    assert findings(canary=mode, remembered=remembered(canary)) == ""
    changed = findings(canary=mode, remembered=remembered(canary, 0.3))
    assert "other scores than when the same weights were loaded before" in changed
    assert findings(canary=mode, remembered=remembered(canary, 0.3, dtype="bf16")) == ""
    assert findings(canary=mode, remembered=remembered(canary, 9, fingerprint="others")) == ""


@pytest.mark.parametrize(
    "settings",
    [{"template": "answer-is"}, {"instruction": "Be strict"}, {"guard_special_tokens": False}],
    ids=str,
)
def test_another_prompt_is_not_compared(settings: dict[str, Any]) -> None:
    assert check(**settings)[0].fingerprint != check()[0].fingerprint


def test_after_a_restart_a_few_pairs_with_the_same_scores_are_enough() -> None:
    engine = Scoring(trained)
    canary, _ = CanaryCheck(engine, SPEC).after_load(lambda _line: None)
    all_pairs = sum(engine.batches)
    again = replace(SPEC, remembered=remembered(canary))
    engine = Scoring(trained)
    canary_check = CanaryCheck(engine, again)
    found, _ = canary_check.after_load(lambda _line: None)
    assert (engine.batches, found.margins, found.findings) == ([1, 2], canary.margins, ())
    assert len(canary_check.timings) == 2
    assert canary_check.again().findings == ()
    engine = Scoring(lambda checksum, is_right: trained(checksum, is_right) + 1)
    found, _ = CanaryCheck(engine, again).after_load(lambda _line: None)
    assert sum(engine.batches) == 3 + all_pairs
    assert "other scores than when the same weights" in found.findings[0]


def test_without_files_nothing_is_remembered() -> None:
    assert check(facts=replace(FACTS, fingerprint=""))[0].fingerprint == ""


def test_later_a_few_pairs_must_score_as_after_the_load() -> None:
    engine = Scoring(trained)
    canary_check = CanaryCheck(engine, SPEC)
    canary_check.after_load(lambda _line: None)
    engine.batches.clear()
    canary = canary_check.again()
    assert (canary.after_load, canary.findings, engine.batches) == (False, (), [3])
    for broken in (lambda *_: math.nan, lambda *_: 0.0):
        engine.judge = broken
        assert "other scores than when the model was loaded" in canary_check.again().findings[0]


def test_a_limit_without_room_for_the_pairs_is_refused() -> None:
    with pytest.raises(Refusal, match=r"the known pairs do not fit.*raise `max_length`") as refused:
        check(facts=replace(FACTS, max_length=6))
    assert refused.value.exit_code is ExitCode.SPEC
    assert findings(random, replace(FACTS, max_length=6), canary="numeric") == ""


def test_a_doubt_calls_for_a_round_but_not_for_many() -> None:
    rounds = Rounds(seconds=60, batches=100, last=100.0)
    rounds.is_doubted = True
    assert rounds.is_due(101.0)
    rounds.done(101.0)
    assert not rounds.is_due(102.0)
    rounds.is_doubted = True
    assert (rounds.is_due(110.9), rounds.is_due(111.0)) == (False, True)


def test_rounds_are_due_after_many_batches_or_a_while_without_any() -> None:
    rounds = Rounds(seconds=60, batches=3, last=100.0)
    assert (rounds.is_due(159.0), rounds.is_due(160.0)) == (False, True)
    due = []
    for now in (110.0, 120.0, 130.0):
        rounds.batch_done(now)
        due.append(rounds.is_due(now))
    assert due == [False, False, True]
    rounds.done(131.0)
    assert not rounds.is_due(131.0)
    assert rounds.wait_seconds(140.0) == 51.0
