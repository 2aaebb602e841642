"""int8 serves where it is faster and agrees with bf16; elsewhere bf16 serves, with the reason."""

import math
from pathlib import Path
from typing import Any

import pytest

from shards.engines import formats, load_engine
from shards.engines.decoder import causal
from shards.engines.decoder.causal import CausalEngine
from shards.engines.fake import FakeTokenizer
from shards.engines.formats import LEAST_SPEARMAN, Agreement, compare, margins_of_known_pairs
from shards.engines.layers.int8 import int8_works
from shards.machine.instructions import AVX512_VNNI
from shards.pairs import Batch
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec
from tests import checkpoints

needs_int8 = pytest.mark.skipif(
    not int8_works(), reason="no int8 kernel of oneDNN for this CPU and this build of PyTorch"
)

MARGINS = [float(at * 7 % 27) for at in range(27)]  # nine queries with three documents
BF16_TOLERANCE = 0.05
INT8_TOLERANCE = 0.5  # margins of these models spread over about 4


def test_the_same_margins_agree() -> None:
    found = compare(MARGINS, MARGINS)
    assert (found.pairs, found.queries, found.same_best) == (27, 9, 9)
    assert found.spearman == pytest.approx(1.0)
    assert found.largest == 0.0
    assert found.suffices


def test_order_counts_and_not_size() -> None:
    found = compare(MARGINS, [3 * margin - 5 for margin in MARGINS])
    assert found.spearman == pytest.approx(1.0)
    assert found.largest == pytest.approx(47.0)
    assert found.suffices


def test_another_best_document_is_a_disagreement() -> None:
    swapped = [*MARGINS[:3][::-1], *MARGINS[3:]]
    found = compare(MARGINS, swapped)
    assert found.same_best == 8
    assert not found.suffices


def test_noise_within_a_query_costs_spearman() -> None:
    found = compare(MARGINS, [margin + 4 * math.sin(9 * margin) for margin in MARGINS])
    assert found.spearman < LEAST_SPEARMAN
    assert not found.suffices


def test_ties_share_their_rank() -> None:
    assert compare(MARGINS, [0.0] * 27).spearman == 0.0
    halves = [0.0 if margin < 13 else 1.0 for margin in MARGINS]
    assert compare(halves, [5 * margin for margin in halves]).spearman == pytest.approx(1.0)


def agreement(spearman: float, same_best: int) -> Agreement:
    return Agreement(pairs=27, spearman=spearman, queries=9, same_best=same_best, largest=0.1)


def test_both_measures_must_be_met() -> None:
    assert agreement(0.995, 9).suffices
    assert not agreement(0.9949, 9).suffices
    assert not agreement(1.0, 8).suffices
    assert "Spearman 0.9950 over 27 known pairs" in str(agreement(0.995, 9))


def test_all_known_pairs_are_scored_in_one_batch() -> None:
    batches: list[Batch] = []

    def score(batch: Batch) -> list[float]:
        batches.append(batch)
        return [float(len(pair)) for pair in batch]

    assert len(margins_of_known_pairs(FakeTokenizer(8192), score)) == 27
    assert len(batches) == 1


def settled(
    monkeypatch: pytest.MonkeyPatch,
    *,
    gain: float,
    int8: list[float],
    other: str = "bf16",
    **given: Any,
) -> formats.Settled[str]:
    monkeypatch.setattr(formats, "int8_gain", lambda *sizes: gain)
    monkeypatch.setattr(formats, "instead", lambda: other)
    margins = {other: MARGINS, "int8": int8}
    given = {"takes_int8": True, "anyway": False} | given
    return formats.settle(
        "int8", str, margins.__getitem__, sizes=(64, 128), report=lambda line: None, **given
    )


def test_int8_serves_where_it_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settled(monkeypatch, gain=1.9, int8=[margin * 1.01 for margin in MARGINS])
    assert (found.made, found.dtype, found.warnings) == ("int8", "int8", ())
    assert found.notes[0] == "int8 measured 1.9 times as fast as bf16 at this model's size"
    assert found.notes[1].startswith("int8 against bf16: Spearman 1.0000 over 27 known pairs")


def test_bf16_stays_where_int8_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settled(monkeypatch, gain=1.9, int8=MARGINS[::-1])
    assert (found.made, found.dtype) == ("bf16", "bf16")
    assert "int8 does not agree with bf16 (Spearman" in found.warnings[0]
    assert "`int8_anyway = true`" in found.warnings[0]
    assert len(found.notes) == 2  # the measurements are shown all the same


def test_fp32_stays_where_it_is_what_int8_is_compared_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = settled(monkeypatch, gain=1.9, int8=MARGINS[::-1], other="fp32")
    assert (found.made, found.dtype) == ("fp32", "fp32")
    assert found.warnings[0].startswith("int8 does not agree with fp32 (Spearman")
    assert found.warnings[0].endswith("fp32 is used; `int8_anyway = true` serves int8 all the same")
    found = settled(monkeypatch, gain=1.0, int8=MARGINS, other="fp32", anyway=True)
    assert (found.made, found.dtype) == ("fp32", "fp32")
    assert found.warnings == (
        "int8 measured 1.0 times as fast as fp32 at this model's size: fp32 is used",
    )


def test_int8_serves_anyway_on_the_operators_request(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settled(monkeypatch, gain=1.9, int8=MARGINS[::-1], anyway=True)
    assert (found.made, found.dtype, found.warnings) == ("int8", "int8", ())


@pytest.mark.parametrize(
    ("int8", "expected"), [(MARGINS, ["int8"]), (MARGINS[::-1], ["int8", "bf16"])]
)
def test_no_model_in_bf16_is_made_where_its_margins_are_known_without(
    monkeypatch: pytest.MonkeyPatch, int8: list[float], expected: list[str]
) -> None:
    monkeypatch.setattr(formats, "int8_gain", lambda *sizes: 1.9)
    monkeypatch.setattr(formats, "instead", lambda: "bf16")
    made: list[str] = []

    def make(dtype: str) -> str:
        made.append(dtype)
        return dtype

    formats.settle(
        "int8",
        make,
        lambda _: int8,
        takes_int8=True,
        sizes=(64, 128),
        anyway=False,
        report=lambda line: None,
        exact_margins=lambda: MARGINS,
    )
    assert made == expected


@pytest.mark.parametrize("gain", [0.0, 1.1])
def test_bf16_stays_where_int8_is_no_faster(monkeypatch: pytest.MonkeyPatch, gain: float) -> None:
    found = settled(monkeypatch, gain=gain, int8=MARGINS)
    assert (found.made, found.dtype) == ("bf16", "bf16")
    assert found.warnings[0].startswith(f"int8 measured {gain} times as fast as bf16")


def test_a_model_without_an_int8_form_is_served_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settled(monkeypatch, gain=1.9, int8=MARGINS, takes_int8=False)
    assert found.dtype == "bf16"
    assert found.warnings == ("this kind of model has no int8 form: bf16 is used",)


@needs_int8
def test_the_gain_is_a_ratio_of_times() -> None:
    for inner in (128, 17408, 32832):  # the last is too wide for the kernels
        assert 0 < formats.int8_gain(64, inner) < 100
    assert formats.int8_note((64, 128)).startswith("int8 ")


@needs_int8
@pytest.mark.parametrize(("other", "bound"), [("fp32", 0.0), ("bf16", BF16_TOLERANCE)])
def test_layers_loaded_one_by_one_give_the_margins_of_a_whole_model(
    other: str, bound: float, tier: str, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the CPU has bf16 the two have other kernels, which sum up in another order.
    tolerance = 0.0 if tier == AVX512_VNNI else bound
    monkeypatch.setattr(formats, "int8_gain", lambda *sizes: 2.0)
    monkeypatch.setattr(causal, "instead", lambda: other)
    kept: list[list[float]] = []
    settle = formats.settle

    def both(dtype: str, make: Any, margins: Any, **given: Any) -> Any:
        kept.extend([given["exact_margins"](), margins(make(other))])
        return settle(dtype, make, margins, **given)

    monkeypatch.setattr(causal, "settle", both)
    load(models["qwen3-untied"], dtype="int8", int8_anyway=True)
    assert kept[0] == pytest.approx(kept[1], abs=tolerance, rel=0)
    assert max(kept[1]) - min(kept[1]) > 10 * tolerance


@needs_int8
def test_int8_margins_are_near_those_of_fp32(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "int8_gain", lambda *sizes: 2.0)
    documents = [*checkpoints.SAMPLES, "", "Paris"]
    margins = {}
    for dtype in ("fp32", "int8"):
        engine = load(models["qwen3-untied"], dtype=dtype, int8_anyway=True)
        assert engine.facts.dtype == dtype
        pairs = engine.tokenizer.tokenize("q", documents, instruction="", max_document_tokens=0)
        margins[dtype] = engine.score(pairs)
        assert engine.score(pairs[::-1])[::-1] == pytest.approx(margins[dtype], abs=0.05)
    assert margins["int8"] == pytest.approx(margins["fp32"], abs=INT8_TOLERANCE)
    assert margins["int8"] != margins["fp32"]
    assert any(note.startswith("int8 against bf16: ") for note in engine.facts.notes)


def test_auto_notes_its_measurement(models: dict[str, Path]) -> None:
    facts = load(models["qwen3"], dtype="auto").facts
    assert facts.dtype == "fp32"
    assert "dtype fp32: this model is too small to gain from bf16" in facts.notes


def test_int8_is_for_cpus() -> None:
    from shards.machine import devices

    spec = ShardSpec(name="m/cuda:0", model="m", source="m", device="cuda:0", dtype="int8")
    with pytest.raises(Refusal, match="int8 is for CPUs") as refusal:
        devices.pick_dtype(spec, "cuda:0", 64, 128, lambda line: None)
    assert refusal.value.exit_code is ExitCode.SPEC


def load(folder: Path, **settings: Any) -> CausalEngine:
    spec = ShardSpec(name="m/cpu", model="m", source=str(folder), **settings)
    engine = load_engine(spec, lambda line: None)
    assert isinstance(engine, CausalEngine)
    return engine
