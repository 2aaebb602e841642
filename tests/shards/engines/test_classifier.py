"""The classifier engine beyond equality: other families, labels, stored precision, token types."""

from pathlib import Path
from typing import Any

import pytest
import torch

from shards.engines import load_engine
from shards.engines.classifier import ClassifierEngine
from shards.pairs import EncodedPair
from shards.refusal import Refusal
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.engines import reference


def load(folder: Path, **settings: Any) -> ClassifierEngine:
    settings = {"dtype": "fp32"} | settings
    spec = ShardSpec(name="m/cpu", model="m", source=str(folder), **settings)
    engine = load_engine(spec, lambda line: None)
    assert isinstance(engine, ClassifierEngine)
    return engine


def margins_of(engine: ClassifierEngine, *documents: str) -> list[float]:
    pairs = engine.encoder.encode("q", documents, instruction="", max_document_tokens=0)
    return engine.score(pairs)


FAMILIES: dict[str, dict[str, Any]] = {
    "roberta": {"pad_token_id": 0, "max_position_embeddings": 513, "type_vocab_size": 1},
    "distilbert": {"dim": 64, "hidden_dim": 128, "n_layers": 2, "n_heads": 4},
    "electra": {"embedding_size": 64, "types": True},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "albert": {"embedding_size": 32},  # has token types, which its tokenizer does not give
}


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_equal_transformers(family: str, tmp_path: Path) -> None:
    folder = checkpoints.encoder(tmp_path, family, **FAMILIES[family])
    documents = ["Paris", *checkpoints.SAMPLES, "", "planets " * 600]
    engine = load(folder)
    assert engine.facts.max_length == 512
    ours = margins_of(engine, *documents)
    expected = reference.classifier_margins(folder, "q", documents, limit=512)
    assert ours == pytest.approx(expected, abs=1e-4)
    assert len(set(ours)) == len(ours)


def test_facts(models: dict[str, Path]) -> None:
    facts = load(models["xlm-roberta"]).facts
    assert (facts.engine, facts.device, facts.dtype) == ("classifier", "cpu", "fp32")
    assert (facts.max_length, facts.token_budget) == (128, 2048)
    assert not facts.uses_instruction
    assert facts.warnings == ()


@pytest.mark.parametrize(
    ("labels", "sign", "warned"),
    [
        (("no", "yes"), 1, False),
        (("Relevant", "irrelevant"), -1, False),
        (("entailment", "contradiction"), -1, False),
        (("0", "1"), 1, False),
        (("LABEL_0", "LABEL_1"), 1, True),
    ],
)
def test_the_positive_one_of_two_labels(
    labels: tuple[str, str], sign: int, warned: bool, tmp_path: Path
) -> None:
    folder = checkpoints.bert(tmp_path, labels=labels)
    engine = load(folder)
    last_less_first = reference.classifier_margins(folder, "q", ["Paris"], limit=512)[0]
    assert margins_of(engine, "Paris") == pytest.approx([sign * last_less_first], abs=1e-4)
    assert bool(engine.facts.warnings) == warned
    if warned:
        assert "guessed the last" in engine.facts.warnings[0]


def test_three_labels_are_refused(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path, labels=("entailment", "neutral", "contradiction"))
    with pytest.raises(Refusal, match=r"has 3 labels \(entailment, neutral, contradiction\)"):
        load(folder)


def test_the_head_runs_in_the_precision_it_is_stored_in(models: dict[str, Path]) -> None:
    exact, rounded = load(models["bert"]), load(models["bert"], dtype="bf16")
    head = rounded._model.classifier.weight
    assert torch.equal(head, exact._model.classifier.weight)
    assert rounded._model.dtype == torch.bfloat16
    margins = margins_of(rounded, *checkpoints.SAMPLES)
    assert any(float(torch.tensor(margin).bfloat16()) != margin for margin in margins)


def test_weights_stored_in_bf16_are_scored_in_fp32_where_asked(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path, dtype="bfloat16")
    expected = reference.classifier_margins(folder, "q", ["Paris"], limit=512)
    assert margins_of(load(folder), "Paris") == pytest.approx(expected, abs=1e-4)


def test_token_types_start_where_the_document_does(models: dict[str, Path]) -> None:
    engine = load(models["bert"])
    ids = list(range(5, 25))
    early, late = (EncodedPair(ids, start, False) for start in (4, 12))
    assert engine.score([early])[0] != pytest.approx(engine.score([late])[0], abs=1e-3)
    assert engine.score([early, late]) == pytest.approx(
        [*engine.score([early]), *engine.score([late])], abs=1e-5
    )


def test_warm_up_runs(models: dict[str, Path]) -> None:
    load(models["modernbert"]).warm_up()


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.encoder(tmp_path, "bert", vocab_size=50)
    with pytest.raises(Refusal, match=r"the tokenizer has \d+ tokens, the model 50"):
        load(folder)
