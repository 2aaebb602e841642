"""MLX gives the margins of plain transformers, in any batch, with any prefix, on any thread."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from shards.engines import load_engine
from shards.engines.base import CountsWork, Engine, KeepsPrefixes
from shards.pairs import TokenizedPair
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.checkpoint.quantised.writers import mlx as in_codes
from tests.shards.engines import reference

core = pytest.importorskip("mlx.core", reason="MLX is not installed: pip install mlx[cpu]")

TOLERANCES = {"fp32": 1e-4, "bf16": 0.35}  # of the margin, as for the engines of PyTorch
NAMES = ("qwen3", "qwen3-untied", "qwen3-seq-cls")
LONG = " ".join(checkpoints.SAMPLES * 60)[:20_000]
DOCUMENTS = (*checkpoints.SAMPLES, "", " ", "Paris", checkpoints.SAMPLES[0] * 12)


def spec_of(folder: Path, **settings: object) -> ShardSpec:
    spec = ShardSpec(name="m/mlx", model="m", source=str(folder), device="mlx")
    return replace(spec, **({"dtype": "fp32"} | settings))  # type: ignore[arg-type]


@cache
def engine_of(folder: Path, dtype: str = "fp32") -> Engine:
    return load_engine(spec_of(folder, dtype=dtype), lambda line: None)


def pairs_of(engine: Engine, query: str, documents: tuple[str, ...]) -> list[TokenizedPair]:
    return engine.tokenizer.tokenize(query, documents, instruction="", max_document_tokens=0)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", NAMES)
def test_margins_equal_transformers(name: str, dtype: str, models: dict[str, Path]) -> None:
    folder = models[name]
    margins = reference.seq_cls_margins if name.endswith("cls") else reference.causal_margins
    engine = engine_of(folder, dtype)
    found = engine.score(pairs_of(engine, "столица 中国", (*DOCUMENTS, LONG)))
    expected = margins(folder, "столица 中国", [*DOCUMENTS, LONG])
    assert found == pytest.approx(expected, abs=TOLERANCES[dtype])
    assert (engine.facts.engine, engine.facts.device, engine.facts.dtype) == ("mlx", "mlx", dtype)


def test_a_margin_depends_neither_on_the_batch_nor_on_the_cache(models: dict[str, Path]) -> None:
    engine = engine_of(models["qwen3"])
    assert isinstance(engine, CountsWork) and isinstance(engine, KeepsPrefixes)
    draw = random.Random(3)
    pairs = [
        pair
        for query in ("a", "what is the capital of France?", "中国的首都")
        for pair in pairs_of(engine, query, DOCUMENTS)
    ]
    engine.prefixes.clear()
    alone = [engine.score([replace(pair, prefix=None)])[0] for pair in pairs]
    assert max(alone) - min(alone) > 1
    for _ in range(3):  # with new prefixes, then with cached ones
        order = draw.sample(range(len(pairs)), len(pairs))
        together = engine.score([pairs[place] for place in order])
        assert together == pytest.approx([alone[place] for place in order], abs=1e-4)
    assert engine.last_work.prefix_misses == 0 < engine.last_work.prefix_hits
    assert sum(engine.last_work.computed) == sum(pair.own_tokens for pair in pairs)


def test_any_thread_can_score_and_use_the_prefixes_of_another(models: dict[str, Path]) -> None:
    engine = load_engine(spec_of(models["qwen3"]), lambda line: None)
    pairs = pairs_of(engine, "planets", DOCUMENTS)
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        expected = first.submit(engine.score, pairs).result()
        assert second.submit(engine.score, pairs).result() == pytest.approx(expected, abs=1e-4)
    assert engine.score(pairs) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("bits", [4, 8])
def test_codes_of_mlx_are_multiplied_as_they_are_stored(
    bits: int, models: dict[str, Path], tmp_path: Path
) -> None:
    coded, decoded = (tmp_path / name for name in ("coded", "decoded"))
    for folder in (coded, decoded):
        folder.mkdir()
        for file in models["qwen3"].iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
    form = in_codes(bits)
    written, plain = {}, {}
    for name, tensor in load_file(models["qwen3"] / "model.safetensors").items():
        plain[name], written[name] = tensor, tensor
        if tensor.dim() == 2 and "layers" in name:
            parts, plain[name] = form.write(tensor.float())
            del written[name]
            layer = name.removesuffix("weight")
            written |= {layer + part: value.contiguous() for part, value in parts.items()}
    save_file(written, coded / "model.safetensors")
    save_file(
        {name: tensor.to(torch.float32).contiguous() for name, tensor in plain.items()},
        decoded / "model.safetensors",
    )
    checkpoints.change_config(coded, **form.config)
    engine = engine_of(coded)
    assert any("products with MLX's codes" in note for note in engine.facts.notes)
    assert not any("decoded weights are used" in line for line in engine.facts.warnings)
    expected = reference.causal_margins(decoded, "planets", list(DOCUMENTS))
    assert engine.score(pairs_of(engine, "planets", DOCUMENTS)) == pytest.approx(
        expected, abs=TOLERANCES["fp32"]
    )


@pytest.mark.parametrize(
    ("name", "settings", "said", "code"),
    [
        ("bert", {}, "no plain Qwen3 decoder", ExitCode.SPEC),
        ("qwen3", {"engine": "mlx", "device": "cpu"}, "set devices to mlx", ExitCode.SPEC),
        ("qwen3", {"engine": "causal"}, "device mlx is for the engine mlx", ExitCode.SPEC),
        ("qwen3", {"dtype": "int8"}, "int8 is for CPUs", ExitCode.SPEC),
    ],
)
def test_what_mlx_does_not_compute_is_refused(
    name: str, settings: dict[str, str], said: str, code: ExitCode, models: dict[str, Path]
) -> None:
    with pytest.raises(Refusal, match=said) as refused:
        load_engine(spec_of(models[name], **settings), lambda line: None)
    assert refused.value.exit_code == code


_SCRIPT = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[2:]))  # their import fails
from shards.engines import load_engine
from shards.refusal import Refusal
from shards.wire.spec import ShardSpec
spec = ShardSpec(name="m/mlx", model="m", source=sys.argv[1], device="mlx", dtype="fp32")
try:
    engine = load_engine(spec, lambda line: None)
    pairs = engine.tokenizer.tokenize("q", ["d"], instruction="", max_document_tokens=0)
    print(engine.score(pairs))
except Refusal as refusal:
    print(refusal)
"""


@pytest.mark.parametrize(
    ("absent", "said"),
    [
        (["torch", "transformers"], "["),
        (["mlx", "mlx.core"], "pip install 'rerank-gateway[mlx]'"),
    ],
)
def test_torch_is_not_needed_and_an_absent_mlx_is_named(
    absent: list[str], said: str, models: dict[str, Path]
) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(models["qwen3"]), *absent]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said in done.stdout, done.stderr
