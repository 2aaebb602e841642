"""A checkpoint that loads and cannot score is refused once, and not started again and again."""

from pathlib import Path
from typing import Any

import pytest

from shards.checkpoint.fingerprint import whole_fingerprint_of
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.facts import WHOLE
from shards.wire.messages import Ready
from shards.wire.pipe import GatewayEnd
from shards.worker.startup import start
from tests import checkpoints
from tests.pipes import shard_end
from tests.shards.checkpoint.specs import spec_of


def _refusal(source: Path, **settings: Any) -> Refusal:
    gateway = GatewayEnd(1)
    end = shard_end(gateway, 1)
    try:
        with pytest.raises(Refusal) as refusal:
            start(spec_of(source, canary="numeric", **settings), end)
        return refusal.value
    finally:
        end.close()
        gateway.close()


def test_a_model_that_cannot_score_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.encoder(
        tmp_path, "xmod", pad_token_id=0
    )  # it needs a language, which no file sets
    refusal = _refusal(folder)
    assert "cannot be scored with: ValueError: Input language unknown" in str(refusal)
    assert refusal.exit_code is ExitCode.MODEL


def test_a_limit_without_room_for_a_pair_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path)
    refusal = _refusal(folder, max_length=4)
    assert "has no room for a pair: 4 tokens are its limit" in str(refusal)


def test_a_configuration_that_its_library_rejects_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.seq_cls(tmp_path, "llama")
    checkpoints.change_config(folder, initializer_range="text")
    assert "StrictDataclassFieldValidationError" in str(_refusal(folder, template="plain"))


def _files(source: Path, **settings: Any) -> str:
    """Return the `files` of the facts of a model that may serve."""
    gateway = GatewayEnd(1)
    end = shard_end(gateway, 1)
    try:
        start(spec_of(source, canary="numeric", **settings), end)
        (files,) = [
            message.facts.files for message in gateway.receive() if isinstance(message, Ready)
        ]
        return files
    finally:
        end.close()
        gateway.close()


def test_every_byte_of_the_files_counts_where_scores_outlive_the_process(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path)
    weights = folder / "model.safetensors"
    sampled, whole = _files(folder), _files(folder, whole_files=True)
    assert not sampled.startswith(WHOLE)
    assert whole.startswith(WHOLE)
    assert _files(folder, whole_files=True) == whole

    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    assert _files(folder, whole_files=True) not in ("", sampled, whole)

    # A file that was replaced while the model loaded: the load may have read the one before.
    assert whole_fingerprint_of(folder, weights.stat().st_ctime - 1) == ""
