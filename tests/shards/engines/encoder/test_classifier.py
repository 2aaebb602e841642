"""The classifier engine beyond equality: other families, labels, stored precision, token types."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from shards.checkpoint import open_checkpoint
from shards.engines import formats, load_engine
from shards.engines.encoder import bert_int8
from shards.engines.encoder.classifier import ClassifierEngine
from shards.engines.encoder.cross_encoder import head_in_fp32
from shards.engines.layers.int8 import int8_works
from shards.pairs import TokenizedPair
from shards.refusal import Refusal
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.engines import reference


def spec_of(folder: Path, **settings: Any) -> ShardSpec:
    settings = {"dtype": "fp32"} | settings
    return ShardSpec(name="m/cpu", model="m", source=str(folder), **settings)


def load(folder: Path, **settings: Any) -> ClassifierEngine:
    engine = load_engine(spec_of(folder, **settings), lambda line: None)
    assert isinstance(engine, ClassifierEngine)
    return engine


def margins_of(engine: ClassifierEngine, *documents: str) -> list[float]:
    pairs = engine.tokenizer.tokenize("q", documents, instruction="", max_document_tokens=0)
    return engine.score(pairs)


needs_int8 = pytest.mark.skipif(
    not int8_works(), reason="no int8 kernel of oneDNN for this CPU and this build of PyTorch"
)

EMBEDDED = Path(__file__).parents[4] / "shards" / "models" / "embedded-bert"

FAMILIES: dict[str, dict[str, Any]] = {
    "roberta": {"pad_token_id": 0, "max_position_embeddings": 513, "type_vocab_size": 1},
    "distilbert": {"dim": 64, "hidden_dim": 128, "n_layers": 2, "n_heads": 4},
    "electra": {"embedding_size": 32, "types": True},
    "camembert": {"pad_token_id": 0, "max_position_embeddings": 513, "type_vocab_size": 1},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "albert": {"embedding_size": 32},  # has token types, which its tokenizer does not return
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
    margins = margins_of(load(models["bert"], dtype="bf16"), *checkpoints.SAMPLES)
    assert any(float(torch.tensor(margin).bfloat16()) != margin for margin in margins)
    model = AutoModelForSequenceClassification.from_pretrained(models["bert"], dtype=torch.bfloat16)
    model.requires_grad_(False)
    head_in_fp32(model, open_checkpoint(spec_of(models["bert"]), lambda line: None))
    stored = load_file(models["bert"] / "model.safetensors")
    assert torch.equal(model.classifier.weight, stored["classifier.weight"])
    assert torch.equal(model.bert.pooler.dense.weight, stored["bert.pooler.dense.weight"])


def test_weights_stored_in_bf16_are_scored_in_fp32_where_asked(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path, dtype="bfloat16")
    expected = reference.classifier_margins(folder, "q", ["Paris"], limit=512)
    assert margins_of(load(folder), "Paris") == pytest.approx(expected, abs=1e-4)


def test_token_types_start_where_the_document_does(models: dict[str, Path]) -> None:
    engine = load(models["bert"])
    ids = list(range(5, 25))
    early, late = (TokenizedPair(ids, start, False) for start in (4, 12))
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


@pytest.fixture
def quick_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "int8_gain", lambda *sizes: 1.9 if int8_works() else 0.0)


@needs_int8
@pytest.mark.usefixtures("quick_int8")
def test_int8_serves_where_it_agrees_and_notes_how_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.engines.formats.LEAST_SPEARMAN", 0.98)  # it is a small model
    facts = load(EMBEDDED, dtype="int8").facts
    assert (facts.dtype, facts.packed, facts.warnings) == ("int8", True, ())
    assert facts.notes[1].startswith("int8 against bf16: Spearman 0.9")
    assert facts.notes[-1].startswith("kernels of our own are ")


@needs_int8
@pytest.mark.usefixtures("quick_int8")
def test_where_measured_ranges_do_not_agree_rows_are_quantised_as_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bert_int8, "_HEADROOM", 40.0)  # as if states were as large
    # These are the languages of the embedded model.
    monkeypatch.setattr("shards.engines.formats._LANGUAGES", ("en", "ru"))
    monkeypatch.setattr("shards.engines.formats.LEAST_SPEARMAN", 0.98)
    engine = load(EMBEDDED, dtype="int8")
    assert (engine.facts.dtype, engine.facts.warnings) == ("int8", ())
    exact = margins_of(load(EMBEDDED, dtype="fp32"), *checkpoints.SAMPLES)
    assert margins_of(engine, *checkpoints.SAMPLES) == pytest.approx(exact, abs=0.5)


@needs_int8
@pytest.mark.usefixtures("quick_int8")
def test_int8_that_disagrees_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.engines.formats.LEAST_SPEARMAN", 1.01)
    engine = load(EMBEDDED, dtype="int8")
    assert engine.facts.dtype == "bf16"
    (warning,) = engine.facts.warnings
    assert warning.startswith("int8 does not agree with bf16 (Spearman 0.9")
    in_bf16 = margins_of(load(EMBEDDED, dtype="bf16"), *checkpoints.SAMPLES)
    assert margins_of(engine, *checkpoints.SAMPLES) == pytest.approx(in_bf16, abs=1e-6)


def test_a_family_without_int8_is_served_in_bf16(tmp_path: Path) -> None:
    folder = checkpoints.encoder(tmp_path, "distilbert", **FAMILIES["distilbert"])
    facts = load(folder, dtype="int8").facts
    other = formats.instead()
    assert (facts.dtype, facts.packed) == (other, False)
    assert facts.warnings == (f"this kind of model has no int8 form: {other} is used",)


def test_labels_are_named_as_the_file_names_them(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path, labels=("neg", "pos"))
    assert load(folder).facts.labels == ("neg", "pos")
