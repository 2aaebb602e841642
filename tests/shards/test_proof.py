"""An engine proves itself by its canaries: after a load, against earlier lives, now and then."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shards.canary import known_pairs
from shards.engines import load_engine
from shards.engines.base import Facts
from shards.engines.fake import FakeEncoder, margin
from shards.pairs import Batch
from shards.proof import Proof, Rounds
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.messages import Canary
from shards.wire.spec import OwnCanary, Remembered, ShardSpec
from tests import checkpoints

EMBEDDED = Path(__file__).parents[2] / "shards" / "models"
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
    """An engine whose margins are made from the pair's checksum and from whether it is right."""

    def __init__(self, judge: Callable[[float, bool], float], facts: Facts = FACTS) -> None:
        self.facts = facts
        self.encoder = FakeEncoder(facts.max_length)
        self.judge = judge
        self.batches: list[int] = []

    def warm_up(self) -> None:
        """Nothing to warm."""

    def score(self, batch: Batch) -> list[float]:
        self.batches.append(len(batch))
        carried = [pair.token_ids[0] / (1 << 20) - 8.0 for pair in batch]
        return [self.judge(one, ANSWERS.get(one, False)) for one in carried]


def good(checksum: float, is_right: bool) -> float:
    return checksum / 8 + (5.0 if is_right else -5.0)


def random(checksum: float, is_right: bool) -> float:
    return checksum


def prove(
    judge: Callable[[float, bool], float] = good, facts: Facts = FACTS, **settings: Any
) -> tuple[Canary, tuple[str, ...]]:
    return Proof(Scoring(judge, facts), replace(SPEC, **settings)).after_load(lambda _line: None)


def findings(
    judge: Callable[[float, bool], float] = good, facts: Facts = FACTS, **settings: Any
) -> str:
    return "; ".join(prove(judge, facts, **settings)[0].findings)


@pytest.mark.parametrize("name", ["embedded-bert", "embedded-qwen3"])
def test_the_embedded_models_know_what_they_say_they_know(name: str) -> None:
    spec = replace(SPEC, source=str(EMBEDDED / name), offline=True)
    engine = load_engine(spec, lambda _line: None)
    said, notes = Proof(engine, spec).after_load(lambda _line: None)
    assert (said.mode, said.findings, notes) == ("full", (), ())
    assert engine.facts.languages == ("en", "ru")
    assert len(said.margins) == 18
    assert said.spread[0] > 2


def test_the_pairs_are_those_of_the_languages_that_the_checkpoint_names() -> None:
    lines: list[str] = []
    said, _ = Proof(Scoring(good), SPEC).after_load(lines.append)
    assert lines == ["canary: known pairs, en", "canary: known pairs, ru"]
    assert said.findings == ()
    assert len(prove(facts=replace(FACTS, languages=()))[0].margins) == len(known_pairs())


def test_batches_keep_to_the_token_budget() -> None:
    engine = Scoring(good, replace(FACTS, token_budget=60))
    Proof(engine, SPEC).after_load(lambda _line: None)
    assert sum(engine.batches) == 18
    assert max(engine.batches) == 3


@pytest.mark.parametrize("make", [checkpoints.bert, checkpoints.qwen3])
def test_a_random_checkpoint_is_told_from_a_trained_one(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    spec = replace(SPEC, source=str(make(tmp_path)), offline=True, dtype="fp32")
    engine = load_engine(spec, lambda _line: None)
    said, _ = Proof(engine, spec).after_load(lambda _line: None)
    assert "wrong order" in "".join(said.findings)
    said, _ = Proof(engine, replace(spec, canary="numeric")).after_load(lambda _line: None)
    assert said.findings == ()


def test_random_weights_are_refused_with_the_remedy() -> None:
    said = findings(random)
    assert "known pairs are in the wrong order (en, ru)" in said
    assert "--canary numeric" in said


def test_random_weights_are_served_on_purpose() -> None:
    proof = Proof(Scoring(random), replace(SPEC, canary="numeric"))
    said, notes = proof.after_load(lambda _line: None)
    assert (said.mode, said.findings, said.spread, notes) == ("numeric", (), (), ())
    assert "not to mean anything" in proof.doubts[0]
    assert "not a number" in findings(lambda *_: math.nan, canary="numeric")
    assert "every pair has the same score" in findings(lambda *_: 1.5, canary="numeric")


def test_scores_that_mean_nothing_are_only_asked_to_be_numbers() -> None:
    proof = Proof(Scoring(random, replace(FACTS, has_meaning=False)), SPEC)
    said, _ = proof.after_load(lambda _line: None)
    assert (said.mode, said.findings, proof.doubts) == ("numeric", (), ())


OWN = OwnCanary(query="reset password", right="Press forgot password.", wrong="Bananas are yellow.")


@pytest.mark.parametrize("mode", ["full", "own"])
def test_the_operators_pairs_are_asked_in_their_own_words(mode: str) -> None:
    by_length = {margin("reset password", OWN.right): True}

    def expert(checksum: float, is_right: bool) -> float:
        return good(checksum, is_right or checksum in by_length)

    assert findings(expert, canary=mode, canaries=(OWN,)) == ""
    swapped = replace(OWN, right=str(OWN.wrong), wrong=OWN.right)
    assert "canary 1: its right document has margin" in findings(
        expert, canary=mode, canaries=(swapped,)
    )
    scored = replace(OWN, right_score=0.2)
    assert "0.2 is expected" in findings(expert, canary=mode, canaries=(scored,))


def test_a_model_of_another_field_proves_itself_by_its_own_pairs() -> None:
    only_right = replace(OWN, wrong=None, right_score=0.5, tolerance=0.5)
    assert findings(random, canary="own", canaries=(only_right,)) == ""
    assert "wrong order" in findings(random, canary="full", canaries=(only_right,))


def remembered(said: Canary, change: float = 0.0, **changes: Any) -> Remembered:
    margins = tuple(one + change for one in said.margins)
    return replace(Remembered(said.fingerprint, said.dtype, margins), **changes)


@pytest.mark.parametrize("mode", ["full", "numeric"])
def test_the_same_weights_must_score_as_they_did(mode: str) -> None:
    said, _ = prove(canary=mode)
    assert findings(canary=mode, remembered=remembered(said)) == ""
    changed = findings(canary=mode, remembered=remembered(said, 0.3))
    assert "other scores than when the same weights were loaded before" in changed
    assert findings(canary=mode, remembered=remembered(said, 0.3, dtype="bf16")) == ""
    assert findings(canary=mode, remembered=remembered(said, 9, fingerprint="others")) == ""


@pytest.mark.parametrize(
    "settings",
    [{"template": "answer-is"}, {"instruction": "Be strict"}, {"guard_special_tokens": False}],
    ids=str,
)
def test_another_prompt_is_not_compared(settings: dict[str, Any]) -> None:
    assert prove(**settings)[0].fingerprint != prove()[0].fingerprint


def test_without_files_nothing_is_remembered() -> None:
    assert prove(facts=replace(FACTS, fingerprint=""))[0].fingerprint == ""


def test_later_a_few_pairs_must_score_as_after_the_load() -> None:
    engine = Scoring(good)
    proof = Proof(engine, SPEC)
    proof.after_load(lambda _line: None)
    engine.batches.clear()
    said = proof.again()
    assert (said.after_load, said.findings, engine.batches) == (False, (), [3])
    for broken in (lambda *_: math.nan, lambda *_: 0.0):
        engine.judge = broken
        assert "other scores than when the model was loaded" in proof.again().findings[0]


def test_a_limit_that_leaves_no_room_is_told() -> None:
    with pytest.raises(Refusal, match=r"the known pairs do not fit.*raise `max_length`") as refused:
        prove(facts=replace(FACTS, max_length=6))
    assert refused.value.exit_code is ExitCode.SPEC
    assert findings(random, replace(FACTS, max_length=6), canary="numeric") == ""


def test_a_doubt_calls_for_a_round_but_not_again_and_again() -> None:
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
