"""Compiled steps: the same margins, compiled once, and used only where measured to gain."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from shards.engines import load_engine
from shards.engines.decoder import qwen3
from shards.engines.layers import fused
from shards.engines.layers.elementwise import IN_PLACE
from shards.engines.layers.fused import Fusing, Sizes, measured
from shards.wire.spec import ShardSpec
from tests import checkpoints

SIZES = Sizes(hidden=64, inner=128, heads=4, kv_heads=2, head_dim=32)


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fused, "_ROWS", (8, 40))
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def fusing(backend: Any, seconds: Callable[[], float]) -> Fusing:
    """Measure on the CPU; each reading of the clock is so many seconds after the last."""
    now = [0.0]

    def clock() -> float:
        now[0] += seconds()
        return now[0]

    return measured("cpu", torch.float32, SIZES, backend, clock)


def always(gain: float) -> Callable[[], float]:
    """Make compiled steps so many times as fast: of each size the plain one is timed first."""
    tries, looks = fused._TRIES, iter(range(1 << 30))

    def seconds() -> float:
        at = next(looks)
        return 0.0 if at == 0 else (gain if (at - 2) // (2 * tries) % 2 == 0 else 1.0)

    return seconds


def test_a_model_with_compiled_steps_has_the_same_margins_and_is_compiled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ShardSpec(name="m/cpu", model="m", source=str(checkpoints.qwen3(tmp_path)), dtype="fp32")
    monkeypatch.setattr(fused, "_gains", _worth_it(fused._gains))

    def margins() -> list[float]:
        engine = load_engine(spec, lambda line: None)
        found: list[float] = []
        for query in ("first", "second query"):
            pairs = engine.tokenizer.tokenize(
                query, (*checkpoints.SAMPLES, "", "x"), instruction="", max_document_tokens=0
            )
            found += engine.score(pairs[:1])
            found += engine.score(pairs[1:3])
            found += engine.score(pairs)
        return found

    expected = margins()
    steps = fusing("aot_eager", lambda: 0.0).steps
    assert steps is not IN_PLACE
    monkeypatch.setattr(qwen3, "steps_on", lambda *_: steps)
    with torch.compiler.set_stance("fail_on_recompile"):
        assert margins() == pytest.approx(expected, abs=1e-4)


def _worth_it(gains: Callable[..., list[float]]) -> Callable[..., list[float]]:
    def measure(*arguments: Any) -> list[float]:
        gains(*arguments)
        return [2.0, 2.0]

    return measure


def test_a_step_serves_where_it_gains_more_than_it_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"norm": [0.5, 2.5], "turn": [0.4, 2.0], "gate": [1.0, 1.0]}
    names = iter(found)
    monkeypatch.setattr(fused, "_gains", lambda *_: found[next(names)])
    fusing_ = fusing("eager", lambda: 0.0)
    assert fusing_.summary == (
        "steps between products: norm fused (fused 0.5 and 2.5 times as fast at 8 and 40 rows), "
        "turn as it is (fused 0.4 and 2.0 times as fast at 8 and 40 rows), "
        "gate fused (fused 1.0 and 1.0 times as fast at 8 and 40 rows)"
    )
    assert fusing_.steps.norm is not IN_PLACE.norm
    assert fusing_.steps.turn is IN_PLACE.turn
    assert fusing_.steps.gate is not IN_PLACE.gate


@pytest.mark.parametrize(("gain", "how"), [(3.0, "fused"), (0.5, "as it is")])
def test_each_step_is_timed_against_its_plain_form(gain: float, how: str) -> None:
    summary = fusing("eager", always(gain)).summary
    assert summary.count(f"{how} (fused {gain} and {gain} times as fast") >= 1


def test_a_compiler_that_fails_leaves_the_steps_as_they_are() -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no C compiler")

    found = fusing(broken, lambda: 0.0)
    assert found.steps is IN_PLACE
    assert found.summary.count("as it is (") == 3
    assert "no C compiler" in found.summary


def test_a_compiler_that_computes_other_numbers_is_detected() -> None:
    def wrong(graph: Any, inputs: Any) -> Any:
        return lambda *given: [tensor * 2 for tensor in graph.forward(*given)]

    found = fusing(wrong, lambda: 0.0)
    assert found.steps is IN_PLACE
    assert "not close" in found.summary


def test_compiling_stops_after_its_time_limit() -> None:
    found = fusing("eager", lambda: 31.0)
    assert found.steps is IN_PLACE
    assert found.summary.count("as it is (compiling took long enough)") == 3


def test_without_triton_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "find_spec", lambda name: None)
    found = fused.fusing.__wrapped__("cuda:0", "bf16", SIZES)
    assert found == Fusing(IN_PLACE, "steps between products are not fused: Triton is missing")
