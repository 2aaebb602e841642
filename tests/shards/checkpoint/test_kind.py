"""The engine follows from the architecture; other models are refused; no code is run."""

import json
from pathlib import Path

import pytest

from shards.engines import load_engine
from shards.wire.exit_codes import ExitCode
from tests import checkpoints
from tests.shards.checkpoint.specs import copy_of, engine_name, refusal_of, spec_of


@pytest.mark.parametrize(
    ("architecture", "model_type", "expected"),
    [
        ("Qwen3ForCausalLM", "qwen3", "causal"),
        ("Qwen3ForSequenceClassification", "qwen3", "causal"),
        ("LlamaForSequenceClassification", "llama", "causal"),
        ("BertForSequenceClassification", "bert", "classifier"),
        ("XLMRobertaForSequenceClassification", "xlm-roberta", "classifier"),
        ("ModernBertForSequenceClassification", "modernbert", "classifier"),
        ("DebertaV2ForSequenceClassification", "deberta-v2", "classifier"),
    ],
)
def test_engine_name(
    architecture: str, model_type: str, expected: str, bert: Path, tmp_path: Path
) -> None:
    folder = copy_of(bert, tmp_path / "Qwen3-Reranker")
    kept = {"id2label": {"0": "LABEL_0"}, "num_labels": 1} | {"vocab_size": 200}
    (folder / "config.json").write_text(
        json.dumps({"architectures": [architecture], "model_type": model_type, **kept})
    )
    assert engine_name(spec_of(folder)) == expected


@pytest.mark.parametrize(
    ("architectures", "said"),
    [
        (["XLMRobertaModel"], "(XLMRobertaModel) is an embedder or a bare body"),
        (["BertForMaskedLM"], "(BertForMaskedLM) is a masked language model"),
        (None, "names no architecture"),
    ],
)
def test_what_is_no_reranker_is_refused_with_what_was_found_and_expected(
    architectures: list[str] | None, said: str, bert: Path, tmp_path: Path
) -> None:
    folder = copy_of(bert, tmp_path)
    checkpoints.change_config(folder, architectures=architectures)
    refusal = refusal_of(folder)
    assert said in str(refusal)
    assert "Qwen/Qwen3-Reranker-0.6B" in str(refusal)
    assert refusal.exit_code is ExitCode.MODEL


def test_an_embedder_of_the_same_architecture_is_refused(qwen3: Path, tmp_path: Path) -> None:
    folder = copy_of(qwen3, tmp_path)
    pooling = [
        {"type": "sentence_transformers.models.Transformer"},
        {"type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(pooling))
    assert "is an embedder" in str(refusal_of(folder))


def test_a_decoder_whose_head_is_not_known_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    config = {"architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "vocab_size": 200}
    (folder / "config.json").write_text(json.dumps(config))
    assert "known for decoders of model type" in str(refusal_of(folder))


def test_code_in_a_checkpoint_is_refused_and_never_run(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    checkpoints.change_config(
        folder,
        architectures=["EvilForSequenceClassification"],
        model_type="evil",
        auto_map={"AutoModelForSequenceClassification": "evil.EvilForSequenceClassification"},
    )
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    refusal = str(refusal_of(folder))
    assert "it brings its own code (auto_map)" in refusal
    assert "never run" in refusal
    assert not (tmp_path / "ran").exists()


def test_auto_map_of_a_known_architecture_is_ignored(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    auto_map = {"AutoModelForSequenceClassification": "evil.Evil", "AutoConfig": "evil.Config"}
    checkpoints.change_config(folder, auto_map=auto_map)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert load_engine(spec_of(folder), lambda line: None).facts.engine == "classifier"
    assert not (tmp_path / "ran").exists()


def test_the_wrong_engine_is_refused(bert: Path, qwen3: Path) -> None:
    for folder, engine in ((bert, "causal"), (qwen3, "classifier")):
        refusal = refusal_of(folder, engine=engine)
        assert "leave `engine` at auto" in str(refusal)
        assert refusal.exit_code is ExitCode.SPEC
