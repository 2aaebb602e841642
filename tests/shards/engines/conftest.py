"""Random checkpoints, made once for all tests of the engines."""

from pathlib import Path

import pytest
import torch

from tests import checkpoints


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Use one thread: tiny models gain nothing from more, which wait for busy cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of checkpoints by name."""
    root = tmp_path_factory.mktemp("models")
    return {
        "qwen3": checkpoints.qwen3(root / "qwen3"),
        "qwen3-untied": checkpoints.qwen3(root / "qwen3-untied", tied=False, layers=4),
        "qwen3-seq-cls": checkpoints.qwen3_seq_cls(root / "qwen3-seq-cls"),
        "bert": checkpoints.bert(root / "bert"),
        "bert-two-labels": checkpoints.bert(root / "bert-two", labels=("irrelevant", "Relevant")),
        "xlm-roberta": checkpoints.xlm_roberta(root / "xlm-roberta"),
        "modernbert": checkpoints.modernbert(root / "modernbert"),
    }
