"""A plain Qwen tokenizer is read from its file alone, just as transformers reads it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, pre_tokenizers

from shards.tokenize import load_tokenizer
from shards.tokenize.qwen_tokenizer import read_plain
from tests import checkpoints
from tests.shards.engines import reference

TEXTS = (
    *checkpoints.SAMPLES,
    "Hello, Wörld!  The 3 cats' naïve CAFÉ\r\n\r\n e\u0301 don't 🙂\u200d 123456",
    "<|im_start|>user\n<think>x</think><|im_end|> <|endoftext|>[SEP] <tool_call>",
)
PLAIN: dict[str, Any] = {
    "tokenizer_class": "Qwen2Tokenizer",
    "unk_token": None,
    "bos_token": None,
    "eos_token": "<|im_end|>",
    "pad_token": {"__type": "AddedToken", "content": "<|endoftext|>"},
    "additional_special_tokens": ["<|im_start|>"],
    "add_bos_token": False,
    "add_prefix_space": False,
    "split_special_tokens": False,
    "errors": "replace",
}


def write(folder: Path, tokenizer: Tokenizer | None = None, **config: Any) -> Path:
    checkpoints.write_tokenizer(
        folder, tokenizer or checkpoints.chat_tokenizer(), **(PLAIN | config)
    )
    return folder


def changed(**model: Any) -> Tokenizer:
    state = json.loads(checkpoints.chat_tokenizer().to_str())
    state["model"] |= model
    return Tokenizer.from_str(json.dumps(state))


def read_as_transformers_does(folder: Path) -> None:
    ours, theirs = load_tokenizer(folder), reference.tokenizer_of(folder)
    assert ours.max_length == theirs.model_max_length
    assert ours.gives_types is ("token_type_ids" in theirs.model_input_names)
    for text in TEXTS:
        encoded = ours.backend.encode(text)
        expected = theirs.backend_tokenizer.encode(text)
        assert (encoded.ids, encoded.offsets) == (expected.ids, expected.offsets)


def test_a_plain_tokenizer_is_read_alone_as_transformers_reads_it(tmp_path: Path) -> None:
    folder = write(tmp_path)
    assert read_plain(folder)
    read_as_transformers_does(folder)


@pytest.mark.skipif(
    not checkpoints.REAL_TOKENIZER.is_dir(), reason="the real tokenizer is not here"
)
def test_the_real_tokenizer_is_read_alone_as_transformers_reads_it() -> None:
    assert read_plain(checkpoints.REAL_TOKENIZER)
    read_as_transformers_does(checkpoints.REAL_TOKENIZER)


@pytest.mark.parametrize(
    "config",
    [
        {"tokenizer_class": "PreTrainedTokenizerFast"},
        {"add_bos_token": True},
        {"add_prefix_space": True},
        {"split_special_tokens": True},
        {"eos_token": "<|over|>"},
        {"additional_special_tokens": ["<think>"]},  # not special in tokenizer.json
        {"added_tokens_decoder": {"0": {"content": "<|new|>", "special": True}}},
        {"never_heard_of": 1},
    ],
    ids=str,
)
def test_what_changes_a_tokenizer_is_left_to_transformers(
    config: dict[str, Any], tmp_path: Path
) -> None:
    assert read_plain(write(tmp_path, **config)) is None


@pytest.mark.parametrize("model", [{"ignore_merges": True}, {"dropout": 0.1}], ids=str)
def test_another_model_is_left_to_transformers(model: dict[str, Any], tmp_path: Path) -> None:
    assert read_plain(write(tmp_path, changed(**model))) is None


def test_another_way_to_split_is_left_to_transformers(tmp_path: Path) -> None:
    tokenizer = changed()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert read_plain(write(tmp_path, tokenizer)) is None


def test_names_that_are_not_given_are_transformers_own(tmp_path: Path) -> None:
    """For a name that the config lacks, transformers adds `<|endoftext|>` if it is missing."""
    tokenizer = changed(vocab=changed().get_vocab(with_added_tokens=False))
    write(tmp_path, tokenizer)
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_bytes())
    del config["unk_token"]
    path.write_text(json.dumps(config))
    assert read_plain(tmp_path)  # the token is there
    state = json.loads((tmp_path / "tokenizer.json").read_bytes())
    added = state["added_tokens"]
    state["added_tokens"] = [token for token in added if "endof" not in token["content"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    assert read_plain(tmp_path) is None


@pytest.mark.parametrize("name", ["added_tokens.json", "special_tokens_map.json"])
def test_older_files_are_left_to_transformers(name: str, tmp_path: Path) -> None:
    (write(tmp_path) / name).write_text("{}")
    assert read_plain(tmp_path) is None


def test_words_that_were_added_are_kept(tmp_path: Path) -> None:
    tokenizer = changed()
    tokenizer.add_tokens([AddedToken("covid19")])
    folder = write(tmp_path, tokenizer)
    assert read_plain(folder)
    read_as_transformers_does(folder)
