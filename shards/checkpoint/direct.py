"""Checkpoints that are stored just as transformers names their tensors, nearly all of them.

Their tensors can be read one by one and packed as they come, so that the model never lies in memory
twice. All others are loaded by transformers, which knows how to rename, and are refused there, with
reasons, where something is missing.
"""

from typing import Any

from shards.checkpoint.folder import Checkpoint
from shards.checkpoint.weights import read_header


def empty_model(auto_class: Any, checkpoint: Checkpoint) -> Any | None:
    """Return the transformers model of a checkpoint without its weights; `None` if there is none."""
    import torch
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(
            checkpoint.folder, trust_remote_code=False, local_files_only=True
        )
        with torch.device("meta"):
            return auto_class.from_config(config, trust_remote_code=False).eval()
    except Exception:  # whatever a broken config makes transformers raise; loading it says what
        return None


def is_plain(model: Any, checkpoint: Checkpoint, vocabulary_size: int) -> bool:
    """Whether a checkpoint stores just the tensors of `model`, of the same shapes.

    What it ties to another tensor may be stored or not. The tokenizer must know no more tokens than
    the model does.
    """
    stored: dict[str, list[int]] = {}
    for path in set(checkpoint.tensors.values()):
        stored |= {name: about["shape"] for name, about in read_header(path).items()}
    parameters = {name: list(one.shape) for name, one in model.named_parameters()}
    named = {name: list(one.shape) for name, one in model.state_dict().items()}
    return (
        model.get_input_embeddings().weight.shape[0] >= vocabulary_size
        and all(stored.get(name) == shape for name, shape in parameters.items())
        and all(named.get(name) == shape for name, shape in stored.items())
    )
