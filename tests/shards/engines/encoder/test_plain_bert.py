"""A BERT's body read without transformers: the same vectors, and what is left to transformers."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shards.checkpoint import open_checkpoint
from shards.engines import load_engine
from shards.engines.base import afresh
from shards.engines.encoder.plain_bert import PlainBert, plain_bert
from shards.tools.verify.similarity import SimilarityReference
from tests import checkpoints
from tests.shards.checkpoint.hub_layouts import bi_encoder, normalize
from tests.shards.checkpoint.specs import spec_of

_ROOT = Path(__file__).parents[4]
_TEXTS = ("The capital of France is Paris.", "Борщ варят со свёклой.", "")
_IMPORTS = """
import sys
from shards.engines import load_engine
from shards.wire.spec import ShardSpec
load_engine(ShardSpec(name="m/cpu", model="m", source=sys.argv[1], dtype="fp32"), lambda line: None)
print("transformers" in sys.modules)
"""


def _plain(folder: Path, rows: int = 0) -> PlainBert | None:
    checkpoint = open_checkpoint(spec_of(folder), lambda line: None)
    return plain_bert(checkpoint, dtype=torch.float32, device="cpu", vocabulary_size=rows)


@pytest.mark.parametrize("mode", ["mean", "cls"])
def test_its_margins_are_those_of_transformers(mode: str, tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path, "bert", mode, normalize())
    assert _plain(folder) is not None
    engine = load_engine(spec_of(folder, scorer="cosine"), lambda line: None)
    pairs = engine.tokenizer.tokenize("gravity", _TEXTS, instruction="", max_document_tokens=0)
    theirs = SimilarityReference(folder).margins("gravity", _TEXTS, lambda done: None)
    assert afresh(engine)(pairs) == pytest.approx(theirs, abs=1e-4)


def test_its_layers_are_let_go_when_ours_are_made(tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path, "bert", "mean")
    body = _plain(folder)
    assert body is not None
    assert body.device == torch.device("cpu")
    names = {name for name, _ in body.named_parameters()}
    assert "encoder.layer.1.attention.self.query.weight" in names
    assert not any(parameter.requires_grad for parameter in body.parameters())


def test_other_tensors_and_other_families_are_left_to_transformers(tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path / "bert", "bert", "mean")
    assert _plain(folder, rows=10_000) is None  # load_model refuses it with the reason
    checkpoints.change_tensors(folder, {"encoder.extra": torch.ones(2)})
    assert _plain(folder) is None
    checkpoints.change_tensors(folder, {}, without="encoder.extra")
    checkpoints.change_tensors(folder, {}, without="encoder.layer.1.output")
    assert _plain(folder) is None
    assert _plain(bi_encoder(tmp_path / "xlm", "xlm_roberta", "mean")) is None


def test_the_embedded_model_is_served_without_the_import_of_transformers() -> None:
    command = [sys.executable, "-c", _IMPORTS, str(_ROOT / "shards" / "models" / "embedded")]
    found = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
