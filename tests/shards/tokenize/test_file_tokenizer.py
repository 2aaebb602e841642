"""A tokenizer that is its file alone: the ids of transformers, and what is left to transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from shards.tokenize import load_tokenizer
from shards.tokenize.file_tokenizer import read_file_alone
from tests import checkpoints

_TEXTS = ("The capital of France", " Как часто? [SEP]", "中国的首都", "", "a\u00a0b  c\n")


def _write(folder: Path, **more: Any) -> Path:
    config = {"unk_token": "[UNK]", "pad_token": "[PAD]", "model_input_names": ["input_ids"]}
    usual: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "limit": 77}
    settings = usual | config | more
    checkpoints.write_tokenizer(folder, checkpoints.word_tokenizer(), **settings)
    return folder


@pytest.mark.parametrize("names", [["input_ids"], ["input_ids", "token_type_ids"]])
def test_it_gives_what_transformers_gives(names: list[str], tmp_path: Path) -> None:
    folder = _write(tmp_path, model_input_names=names)
    assert read_file_alone(folder)
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    assert [ours.backend.encode(text).ids for text in _TEXTS] == theirs(list(_TEXTS))["input_ids"]
    assert (ours.max_length, ours.gives_types) == (77, "token_type_ids" in names)


def test_that_of_the_embedded_model_is_read_alone() -> None:
    folder = Path(__file__).parents[3] / "shards" / "models" / "embedded"
    assert read_file_alone(folder)
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    assert [ours.backend.encode(text).ids for text in _TEXTS] == theirs(list(_TEXTS))["input_ids"]


@pytest.mark.parametrize(
    "more",
    [
        {"tokenizer_class": "BertTokenizer"},
        {"model_input_names": None},
        {"eos_token": "never seen"},
        {"do_lower_case": True},
    ],
    ids=str,
)
def test_what_may_change_ids_is_left_to_transformers(more: dict[str, Any], tmp_path: Path) -> None:
    assert read_file_alone(_write(tmp_path, **more)) is None


def test_files_beside_it_are_left_to_transformers(tmp_path: Path) -> None:
    folder = _write(tmp_path)
    (folder / "added_tokens.json").write_text(json.dumps({"new": 300}))
    assert read_file_alone(folder) is None
