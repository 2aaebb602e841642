"""BERT without padding: groups, long pairs, and int8 against the exact margins."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from shards.engines.encoder.bert_formats import in_int8
from shards.engines.encoder.bert_formats import unpadded as without_padding
from shards.engines.encoder.cross_encoder import Padded
from shards.engines.layers import pair_attention
from shards.engines.layers.int8 import int8_works
from shards.engines.layers.pair_attention import Grouped
from shards.native.library import limited_to, without_kernels
from shards.pairs import TokenizedPair
from shards.refusal import Refusal
from tests.shards.native.here import every_limit, needs_kernels

LENGTHS = (3, 60, 61, 7, 120, 64, 3, 90, 1, 33, 118)
BF16_TOLERANCE = 0.35
INT8_TOLERANCE = 0.6  # margins of these models spread over about 4, in two wide random layers

needs_int8 = pytest.mark.skipif(
    not int8_works(), reason="no int8 kernel of oneDNN for this CPU and this build of PyTorch"
)


def pairs_of(lengths: Sequence[int], seed: int = 0) -> list[TokenizedPair]:
    generator = torch.Generator().manual_seed(seed)
    return [
        TokenizedPair(
            torch.randint(5, 60, (length,), generator=generator).tolist(), length // 3, False
        )
        for length in lengths
    ]


def loaded(folder: Path) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(folder).eval()


def logits(model: Any, pairs: Sequence[TokenizedPair]) -> list[float]:
    with torch.inference_mode():
        margins: list[float] = model.logits(pairs)[:, 0].tolist()
    return margins


@pytest.mark.parametrize("limit", every_limit)
@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_every_pair_scores_as_it_does_alone(name: str, limit: str, models: dict[str, Path]) -> None:
    pairs = pairs_of(LENGTHS)
    with torch.inference_mode(), limited_to(limit):
        ours = logits(without_padding(loaded(models[name]), "fp32"), pairs)
    padded = Padded(loaded(models[name]))
    expected = [logits(padded, [pair])[0] for pair in pairs]
    assert ours == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 1


def test_long_pairs_are_taken_some_rows_at_a_time(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = pairs_of(LENGTHS)
    with torch.inference_mode():
        model = without_padding(loaded(models["bert"]), "fp32")
    whole = logits(model, pairs)
    monkeypatch.setattr(pair_attention, "_MOST_SCORES", 250)
    monkeypatch.setattr(pair_attention, "_FREE_SCORES", 0)
    assert logits(model, pairs) == pytest.approx(whole, abs=1e-5)


def test_groups_hold_every_token_once_and_fill_little() -> None:
    lengths = [20 + at for at in range(150)]
    groups = Grouped(lengths, "cpu", torch.float32).groups
    assert [group.rows.start for group in groups[1:]] == [group.rows.stop for group in groups[:-1]]
    assert groups[-1].rows.stop == sum(lengths)
    assert sum(group.pairs for group in groups) == len(lengths)
    assert len(groups) < len(lengths) / 3
    scores = sum(group.pairs * group.length**2 for group in groups)
    assert scores < 1.3 * sum(length**2 for length in lengths)


def int8_of(folder: Path, pairs: Sequence[TokenizedPair], model: Any = None) -> Any:
    with torch.inference_mode():
        return in_int8(model or loaded(folder), pairs)


@needs_int8
@pytest.mark.parametrize("limit", every_limit)
def test_int8_stays_near_the_exact_margins(limit: str, models: dict[str, Path]) -> None:
    pairs = pairs_of(LENGTHS * 3, seed=1)
    exact = logits(Padded(loaded(models["bert"])), pairs)
    with limited_to(limit):
        rounded = logits(int8_of(models["bert"], pairs_of(LENGTHS, seed=5)), pairs)
    assert rounded == pytest.approx(exact, abs=INT8_TOLERANCE)
    assert rounded != exact


@needs_int8
def test_a_margin_in_int8_does_not_depend_on_its_batch(models: dict[str, Path]) -> None:
    pairs = pairs_of(LENGTHS, seed=2)
    model = int8_of(models["xlm-roberta"], pairs)
    alone = [logits(model, [pair])[0] for pair in pairs]
    assert logits(model, pairs) == pytest.approx(alone, abs=INT8_TOLERANCE / 4)


@needs_int8
@pytest.mark.parametrize("limit", every_limit)
@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_a_state_that_is_no_number_spoils_its_pair_alone(
    dtype: str, limit: str, models: dict[str, Path]
) -> None:
    """A row of the embeddings is damaged: codes have no NaN, and the first token attends to it."""
    pairs, model = pairs_of(LENGTHS, seed=2), loaded(models["bert"])
    with torch.inference_mode(), limited_to(limit):
        ours = in_int8(model, pairs) if dtype == "int8" else without_padding(model, "bf16")
        before = logits(ours, pairs)
        damaged = pairs[1].token_ids[-1]
        model.base_model.embeddings.word_embeddings.weight[damaged, 5] = float("nan")
        after = logits(ours, pairs)
    for pair, whole, spoilt in zip(pairs, before, after, strict=True):
        assert math.isnan(spoilt) if damaged in pair.token_ids else spoilt == whole
    assert 0 < sum(map(math.isnan, after)) < len(pairs)


@needs_int8
@pytest.mark.parametrize("place", ["intermediate.dense.weight", "attention.self.value.bias"])
def test_int8_is_not_made_of_what_is_no_number(place: str, models: dict[str, Path]) -> None:
    model = loaded(models["bert"])
    with torch.inference_mode():
        model.base_model.encoder.layer[1].get_parameter(place).flatten()[3] = float("nan")
    with pytest.raises(Refusal, match="not finite numbers; the checkpoint is damaged"):
        int8_of(models["bert"], pairs_of(LENGTHS), model)


@needs_kernels
@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_the_kernels_and_pytorch_agree(name: str, models: dict[str, Path]) -> None:
    """Both stay near the exact margins."""
    pairs = pairs_of(LENGTHS, seed=3)
    exact = logits(Padded(loaded(models[name])), pairs)
    with torch.inference_mode():
        model = without_padding(loaded(models[name]), "bf16")
    ours = logits(model, pairs)
    with without_kernels():
        theirs = logits(model, pairs)
    assert ours == pytest.approx(exact, abs=BF16_TOLERANCE)
    assert theirs == pytest.approx(exact, abs=BF16_TOLERANCE)
    assert ours != theirs
