"""ModernBERT without padding: both poolings, pairs within and beyond the window, each format."""

from pathlib import Path
from typing import Any

import pytest
import torch

from shards.engines import formats, load_engine
from shards.engines.encoder.cross_encoder import Padded
from shards.engines.encoder.formats import family_of
from shards.engines.encoder.modernbert_weights import unpadded
from shards.engines.layers.local_attention import local_attention_for
from shards.native.library import limited_to, without_kernels
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.engines.encoder.test_bert import LENGTHS, loaded, logits, needs_int8, pairs_of
from tests.shards.native.here import every_limit, needs_kernels

REACH = 8  # the reach of local layers; their window is twice as wide
TOLERANCE = 1e-4
BF16_TOLERANCE = 0.05  # margins of these models spread over about 2
INT8_TOLERANCE = 0.1

MODELS: dict[str, dict[str, Any]] = {
    "mean, last layer whole": {"classifier_pooling": "mean"},
    "mean, last layer local": {"classifier_pooling": "mean", "num_hidden_layers": 3},
    "first token, last layer whole": {"classifier_pooling": "cls"},
    "first token, last layer local": {"classifier_pooling": "cls", "num_hidden_layers": 3},
    "listed layers, bias in the head": {
        "layer_types": [f"{kind}_attention" for kind in ("sliding", "full", "full", "sliding")],
        "classifier_bias": True,
        "classifier_activation": "silu",
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 500.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
        },
    },
    "odd window": {"local_attention": 21},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("modernberts")
    return {name: checkpoints.modernbert(root / name, **MODELS[name]) for name in MODELS}


def alone(folder: Path, seed: int = 0) -> list[float]:
    """Return the margins of transformers' own forward pass, one pair at a time."""
    padded = Padded(loaded(folder))
    return [logits(padded, [pair])[0] for pair in pairs_of(LENGTHS, seed)]


def ours(folder: Path, dtype: str) -> Any:
    with torch.inference_mode():
        return unpadded(loaded(folder), dtype)


@pytest.mark.parametrize("limit", every_limit)
@pytest.mark.parametrize("name", MODELS)
def test_every_pair_scores_as_it_does_alone(
    name: str, limit: str, folders: dict[str, Path]
) -> None:
    expected = alone(folders[name])
    with limited_to(limit):
        margins = logits(ours(folders[name], "fp32"), pairs_of(LENGTHS))
    assert margins == pytest.approx(expected, abs=TOLERANCE)
    assert max(expected) - min(expected) > 1


@pytest.mark.parametrize("longest", [REACH, REACH + 1, REACH + 2, 2 * REACH + 1, 64, 65, 300])
def test_the_window_begins_where_it_should(longest: int, folders: dict[str, Path]) -> None:
    """A shorter pair lies beside it, so that both ways of attending meet in one batch."""
    folder = folders["mean, last layer local"]
    pairs = pairs_of([longest, 5], seed=3)
    expected = logits(Padded(loaded(folder)), pairs)
    assert logits(ours(folder, "fp32"), pairs) == pytest.approx(expected, abs=TOLERANCE)


def test_no_token_sees_beyond_its_reach() -> None:
    length, hidden = 200, 8
    generator = torch.Generator().manual_seed(1)
    products = torch.randn(length, 3, 2, hidden // 2, generator=generator)
    attend, _ = local_attention_for([3, length - 3], REACH, hidden // 2, "cpu", torch.float32)
    before, after = torch.empty(length, hidden), torch.empty(length, hidden)
    attend(products, before)
    products[100, 1:] += 5.0
    attend(products, after)
    changed = (before != after).any(1).nonzero()[:, 0].tolist()
    assert changed == list(range(100 - REACH, 100 + REACH + 1))


@pytest.mark.parametrize("name", list(MODELS)[:4])
@pytest.mark.parametrize("limit", every_limit)
def test_bf16_stays_near_the_exact_margins(name: str, limit: str, folders: dict[str, Path]) -> None:
    exact = alone(folders[name], seed=2)
    with limited_to(limit):
        rounded = logits(ours(folders[name], "bf16"), pairs_of(LENGTHS, seed=2))
    assert rounded == pytest.approx(exact, abs=BF16_TOLERANCE)
    assert rounded != exact


@needs_kernels
def test_the_kernels_are_used(folders: dict[str, Path]) -> None:
    model = ours(folders["mean, last layer whole"], "bf16")
    with_them = logits(model, pairs_of(LENGTHS))
    with without_kernels():
        assert logits(model, pairs_of(LENGTHS)) != with_them


@needs_int8
def test_int8_stays_near_the_exact_margins_in_any_company(folders: dict[str, Path]) -> None:
    folder, pairs = folders["mean, last layer whole"], pairs_of(LENGTHS, seed=4)
    model = ours(folder, "int8")
    together = logits(model, pairs)
    assert together == pytest.approx(alone(folder, seed=4), abs=INT8_TOLERANCE)
    by_itself = [logits(model, [pair])[0] for pair in pairs]
    assert together == pytest.approx(by_itself, abs=INT8_TOLERANCE)


@needs_int8
def test_an_engine_serves_int8(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "int8_gain", lambda *sizes: 1.9)
    source = str(folders["mean, last layer whole"])
    spec = ShardSpec(name="m/cpu", model="m", source=source, dtype="int8", int8_anyway=True)
    facts = load_engine(spec, lambda line: None).facts
    assert (facts.dtype, facts.packed, facts.warnings) == ("int8", True, ())
    assert facts.notes[1].startswith("int8 against bf16: Spearman ")


@pytest.mark.parametrize(
    "unusual",
    [
        {"attention_bias": True},
        {"mlp_bias": True},
        {"norm_bias": True},
        {"hidden_activation": "gelu_pytorch_tanh"},
        {
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
            }
        },
    ],
    ids=lambda unusual: next(iter(unusual)),
)
def test_what_is_unusual_stays_with_transformers(unusual: dict[str, Any], tmp_path: Path) -> None:
    folder = checkpoints.modernbert(tmp_path, **unusual)
    assert family_of(loaded(folder).config) is None
    spec = ShardSpec(name="m/cpu", model="m", source=str(folder), dtype="fp32")
    engine = load_engine(spec, lambda line: None)
    assert not engine.facts.packed
    pairs = pairs_of([5, 40], seed=6)
    assert engine.score(pairs) == pytest.approx(logits(Padded(loaded(folder)), pairs), abs=1e-5)
