"""Folders with the three kinds of tokenizers."""

from pathlib import Path

import pytest

from tests import checkpoints


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer like Qwen3's."""
    folder = tmp_path_factory.mktemp("chat")
    checkpoints.write_tokenizer(
        folder, checkpoints.chat_tokenizer(), tokenizer_class="Qwen2Tokenizer", unk_token=None
    )
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer like BERT's."""
    folder = tmp_path_factory.mktemp("words")
    checkpoints.write_tokenizer(
        folder,
        checkpoints.word_tokenizer(),
        tokenizer_class="BertTokenizer",
        do_lower_case=False,
    )
    return folder


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer like XLM-R's."""
    folder = tmp_path_factory.mktemp("pieces")
    checkpoints.write_tokenizer(
        folder, checkpoints.piece_tokenizer(), tokenizer_class="XLMRobertaTokenizer"
    )
    return folder
