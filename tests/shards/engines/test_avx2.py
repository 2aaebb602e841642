"""int8 on a CPU without AVX-512: states in fp32 between products, in 16 or 8 bits inside them.

On a CPU with more, the tests leave its other kernels out.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from shards.engines import formats, load_engine
from shards.engines.base import Engine
from shards.engines.decoder import causal
from shards.engines.layers import int8
from shards.engines.layers.int8 import has_int8, int8_linear, keeps_fp32
from shards.engines.layers.linear import format_of, pack, takes_any_rows
from shards.native.avx2_product import Avx2Product
from shards.native.library import without_kernels
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.native.here import needs_avx2

pytestmark = needs_avx2

EMBEDDED = Path(__file__).parents[3] / "shards" / "models" / "embedded-bert"


@pytest.fixture
def quick_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "int8_gain", lambda *sizes: 1.9)


def load(folder: Path, dtype: str, **settings: Any) -> Engine:
    spec = ShardSpec(name="m/cpu", model="m", source=str(folder), dtype=dtype, **settings)
    return load_engine(spec, lambda line: None)


def margins_of(engine: Engine) -> list[float]:
    documents = [*checkpoints.SAMPLES, "", "Paris"]
    pairs = engine.tokenizer.tokenize("q", documents, instruction="", max_document_tokens=0)
    return engine.score(pairs)


def test_products_are_our_own_and_near_the_exact_ones() -> None:
    assert keeps_fp32()
    assert has_int8()
    weights = [torch.randn(rows, 256) for rows in (33, 64)]
    linear, states = int8_linear(weights), torch.randn(40, 256)
    assert isinstance(linear, Avx2Product)
    assert takes_any_rows(linear)
    exact = torch.nn.functional.linear(states, torch.cat(weights))
    found = linear(states)
    assert found.dtype == format_of("int8") == torch.float32
    assert ((found - exact).norm(dim=1) <= 0.02 * exact.norm(dim=1)).all()
    bias = torch.randn(33)
    grown = pack(weights[0], bias, "int8", "cpu", "gelu")(states)
    expected = torch.nn.functional.gelu(exact[:, :33] + bias)
    torch.testing.assert_close(grown, expected, rtol=0.0, atol=1.0)


def test_without_kernels_there_is_no_int8_and_bf16_is_what_it_is_compared_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with without_kernels():
        assert not keeps_fp32()
        monkeypatch.setattr(int8, "int8_works", lambda: False)
        assert not has_int8()
        assert formats.int8_gain(64, 128) == 0.0
        assert formats.instead() == "bf16"
        assert format_of("int8") == torch.bfloat16
    assert formats.instead() == "fp32"


@pytest.mark.usefixtures("quick_int8")
@pytest.mark.parametrize("name", ["qwen3-untied", "qwen3-seq-cls", "modernbert", "bert"])
def test_margins_in_int8_are_near_those_of_fp32(models: dict[str, Path], name: str) -> None:
    exact = margins_of(load(models[name], "fp32"))
    engine = load(models[name], "int8", int8_anyway=True)
    assert engine.facts.dtype == "int8"
    assert any(note.startswith("int8 against fp32: ") for note in engine.facts.notes)
    assert any("with AVX2" in note for note in engine.facts.notes)
    found = margins_of(engine)
    assert found == pytest.approx(exact, abs=0.25)
    assert found != exact
    engine.warm_up()
    assert margins_of(engine) == pytest.approx(found, abs=2e-3)


@pytest.mark.usefixtures("quick_int8")
def test_int8_agrees_for_a_trained_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """No range is measured: rows are quantised as they come, and nothing is served anyway."""
    monkeypatch.setattr("shards.engines.formats._LANGUAGES", ("en", "ru"))  # those of this model
    facts = load(EMBEDDED, "int8").facts
    assert (facts.dtype, facts.packed, facts.warnings) == ("int8", True, ())


@pytest.mark.usefixtures("quick_int8")
def test_a_trained_model_that_disagrees_serves_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LEAST_SPEARMAN", 1.01)
    engine = load(EMBEDDED, "int8")
    assert engine.facts.dtype == "fp32"
    (warning,) = engine.facts.warnings
    assert warning.startswith("int8 does not agree with fp32 (Spearman 0.99")
    assert margins_of(engine) == pytest.approx(margins_of(load(EMBEDDED, "fp32")), abs=1e-6)


@pytest.mark.usefixtures("quick_int8")
def test_layers_that_pass_by_give_the_margins_of_a_whole_model(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[list[float]] = []
    settle = formats.settle

    def both(dtype: str, make: Any, margins: Any, **given: Any) -> Any:
        kept.extend([given["exact_margins"](), margins(make("fp32"))])
        return settle(dtype, make, margins, **given)

    monkeypatch.setattr(causal, "settle", both)
    load(models["qwen3-untied"], "int8", int8_anyway=True)
    assert kept[0] == pytest.approx(kept[1], abs=1e-5)


def test_a_slow_kernel_loses_the_race_and_fp32_serves(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Avx2Product.__call__

    def slow(product: Avx2Product, states: torch.Tensor) -> torch.Tensor:
        for _ in range(50):
            found = run(product, states)
        return found

    assert formats.int8_gain(256, 1024) > 0
    monkeypatch.setattr(Avx2Product, "__call__", slow)
    facts = load(models["qwen3-untied"], "int8", int8_anyway=True).facts
    assert facts.dtype == "fp32"
    assert facts.warnings[-1].startswith("int8 measured 0.")
    assert facts.warnings[-1].endswith("times as fast as fp32 at this model's size: fp32 is used")
