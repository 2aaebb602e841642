"""Every baseline computes what our engines compute, on a small checkpoint, over its own HTTP."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from transformers import AutoTokenizer

from gateway.cli.bench.workloads import Request
from scripts.bench_suite.asking import margins
from scripts.bench_suite.baselines import bert, card, cross_encoder, naive, openvino_loop
from scripts.bench_suite.baselines.prompts import Prompts, chat_template
from scripts.bench_suite.baselines.serving import Score, app
from scripts.bench_suite.workloads import known
from scripts.classifier_bench import convert_once
from scripts.engine_bench import bench_spec
from scripts.full_size import QWEN3_06B, RUBERT_BASE, qwen3_06b, rubert_base
from shards.engines import load_engine
from shards.engines.base import Engine
from shards.prompts import TEMPLATES

SMALL = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "initializer_range": 0.2,
}


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen3")
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    return qwen3_06b(folder, QWEN3_06B | SMALL | heads | {"vocab_size": 1200})


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    return rubert_base(folder, RUBERT_BASE | SMALL | {"num_attention_heads": 4, "vocab_size": 1200})


def exact(folder: Path) -> list[float]:
    """Return the margins of our own engine in fp32."""
    engine: Engine = load_engine(bench_spec(folder, "fp32"), lambda _: None)
    asked = known()
    pairs = engine.tokenizer.tokenize(
        asked.query, asked.documents, instruction="", max_document_tokens=0
    )
    return engine.score(pairs)


def over_http(score: Score, asked: Request) -> list[float]:
    """Send a request to a baseline as the suite does; return the margins."""
    with TestClient(app(score)) as client:
        assert client.get("/health").status_code == 200
        reply = client.post("/v1/rerank", content=asked.body("bench"))
    return margins(reply.json()["results"], len(asked.documents))


@pytest.mark.parametrize(("load", "bound"), [(naive.load, 1e-3), (card.load, 0.2)])
def test_a_causal_baseline_agrees_with_us(
    causal: Path, load: Callable[[Path], Score], bound: float
) -> None:
    ours = exact(causal)
    assert max(ours) - min(ours) > 4 * bound  # a wrong document would show
    assert over_http(load(causal), known()) == pytest.approx(ours, abs=bound)


def test_the_naive_cross_encoder_agrees_with_us(encoder: Path) -> None:
    ours = exact(encoder)
    assert max(ours) - min(ours) > 0.01
    assert over_http(bert.load(encoder), known()) == pytest.approx(ours, abs=1e-4)


def test_openvino_by_itself_agrees_with_us(encoder: Path) -> None:
    convert_once(encoder, "fp32")
    score = openvino_loop.load(encoder, "fp32")
    assert over_http(score, known()) == pytest.approx(exact(encoder), abs=1e-3)


@pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason="installed by scripts/bench alone"
)
def test_sentence_transformers_agrees_with_us(causal: Path, encoder: Path) -> None:
    for folder, bound in ((causal, 0.2), (encoder, 1e-3)):
        assert over_http(cross_encoder.load(folder), known()) == pytest.approx(
            exact(folder), abs=bound
        )


def test_the_prompt_is_ours_and_so_is_the_chat_template(causal: Path) -> None:
    """vLLM and sentence-transformers get the prompt as a template; its tokens are the same."""
    tokenizer = AutoTokenizer.from_pretrained(causal)
    messages = [{"role": "query", "content": "a?"}, {"role": "document", "content": "b c"}]
    rendered = tokenizer.apply_chat_template(
        messages, chat_template=chat_template(), tokenize=True, return_dict=False
    )
    prompts = Prompts(tokenizer)
    ids = prompts.padded("a?", ["b c"])["input_ids"][0].tolist()
    assert rendered == ids
    ours = TEMPLATES["qwen3-reranker"]
    assert tokenizer.decode(ids) == ours.text("a?", "b c")


def test_a_common_word_is_one_token(causal: Path) -> None:
    """Workloads then have about as many tokens as words, as with the real tokenizers."""
    tokenizer = json.loads((causal / "tokenizer.json").read_text())
    assert {"Ġwater", "Ġhouse", "Ġletter"} <= set(tokenizer["model"]["vocab"])
