"""The causal engine beyond equality: stored precision, memory, refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from shards.checkpoint import Checkpoint
from shards.engines import load_engine
from shards.engines.decoder.causal import CausalEngine
from shards.refusal import Refusal
from shards.wire.spec import ShardSpec
from tests import checkpoints


def load(folder: Path, **settings: Any) -> CausalEngine:
    settings = {"dtype": "fp32"} | settings
    spec = ShardSpec(name="m/cpu", model="m", source=str(folder), **settings)
    engine = load_engine(spec, lambda line: None)
    assert isinstance(engine, CausalEngine)
    return engine


def margins_of(engine: CausalEngine, *documents: str) -> list[float]:
    pairs = engine.tokenizer.tokenize("q", documents, instruction="", max_document_tokens=0)
    return engine.score(pairs)


def test_facts(models: dict[str, Path]) -> None:
    facts = load(models["qwen3"]).facts
    assert (facts.engine, facts.device, facts.dtype) == ("causal", "cpu", "fp32")
    assert (facts.max_length, facts.token_budget) == (40960, 2048)
    assert facts.uses_instruction
    assert not facts.demonstration
    assert facts.warnings == ()


def test_loading_reports_its_steps(models: dict[str, Path]) -> None:
    lines: list[str] = []
    spec = ShardSpec(name="m/cpu", model="m", source=str(models["qwen3"]))
    load_engine(spec, lines.append).warm_up()
    assert lines[0].startswith("dtype ")
    assert lines[1].startswith("loading weights, ")


def test_the_row_is_read_in_the_precision_it_is_stored_in(models: dict[str, Path]) -> None:
    """An fp32 row loses 16 bits in a bf16 model, the difference of two rows most of the rest."""
    exact, rounded = load(models["qwen3-untied"]), load(models["qwen3-untied"], dtype="bf16")
    assert torch.equal(rounded._row, exact._row)
    assert rounded._row.dtype == torch.float32


def test_nothing_is_as_wide_as_the_vocabulary_but_the_embeddings(tmp_path: Path) -> None:
    """Weights that only the vocabulary-wide head would need are not even read."""
    folder = checkpoints.qwen3(tmp_path, tied=False)
    read: list[str] = []
    read_tensor, reader = Checkpoint.read_tensor, Checkpoint.reader

    def noting(self: Checkpoint, name: str, rows: slice | None = None) -> torch.Tensor:
        if rows is None:
            read.append(name)
        return read_tensor(self, name, rows)

    def noting_reader(self: Checkpoint) -> Callable[[str], torch.Tensor]:
        tensor = reader(self)

        def note(name: str) -> torch.Tensor:
            read.append(name)
            return tensor(name)

        return note

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "read_tensor", noting)
        patch.setattr(Checkpoint, "reader", noting_reader)
        load(folder)
    assert "model.embed_tokens.weight" in read
    assert "lm_head.weight" not in read


def test_a_margin_that_is_no_number_is_returned_as_it_is(
    models: dict[str, Path], tmp_path: Path
) -> None:
    checkpoints.qwen3(tmp_path, tied=False)
    head = torch.full((checkpoints.chat_tokenizer().get_vocab_size(), 64), float("nan"))
    checkpoints.change_tensors(tmp_path, {"lm_head.weight": head}, without="lm_head")
    (margin,) = margins_of(load(tmp_path), "document")
    assert margin != margin


def test_a_conversion_with_other_rows_than_labels_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.qwen3_seq_cls(tmp_path, labels=2)
    checkpoints.change_config(folder, id2label={"0": "LABEL_0"})
    with pytest.raises(Refusal, match="has 2 rows for 1 labels"):
        load(folder)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(
    models: dict[str, Path], tmp_path: Path
) -> None:
    folder = checkpoints.decoder(tmp_path / "Qwen3-Reranker", "qwen3", vocab_size=200)
    with pytest.raises(Refusal, match=r"the tokenizer has \d+ tokens, the model 200"):
        load(folder)


def test_auto_finds_no_prompt_for_a_plain_decoder(tmp_path: Path) -> None:
    folder = checkpoints.decoder(tmp_path, "llama")
    with pytest.raises(Refusal, match="says with which prompt it scores"):
        load(folder)
