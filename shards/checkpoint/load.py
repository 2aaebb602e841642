"""Builds the transformers model of a checkpoint, and lets no tensor be initialised at random.

transformers fills what a checkpoint lacks with random numbers and says so in a log line; the
scores then look like scores. Here every such tensor is a refusal that names it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from shards.checkpoint.folder import Checkpoint
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode

if TYPE_CHECKING:
    import torch

_SHOWN = 5


def load_model(
    auto_class: Any,  # one of transformers' Auto classes, which carry no types
    checkpoint: Checkpoint,
    *,
    vocabulary_size: int,
    dtype: "torch.dtype",
    device: str,
    report: Report,
) -> tuple[Any, tuple[str, ...]]:
    """Load a checkpoint with plain transformers classes, in `dtype`, ready to score.

    Args:
        vocabulary_size: how many tokens the tokenizer can give.

    Returns:
        The model in evaluation mode, and warnings.

    Raises:
        Refusal: a tensor is missing or has another shape; the tokenizer knows tokens that the
            model does not; the memory does not suffice.
    """
    size = sum(path.stat().st_size for path in set(checkpoint.tensors.values()))
    report(f"loading weights, {size / 1e6:.0f} MB")
    model, info = _from_pretrained(auto_class, checkpoint, dtype)
    _refuse_missing(checkpoint, info["missing_keys"])
    _refuse_mismatched(checkpoint, info["mismatched_keys"])
    rows = model.get_input_embeddings().weight.shape[0]
    if vocabulary_size > rows:
        raise Refusal(
            f"{checkpoint.name}: the tokenizer has {vocabulary_size} tokens, the model {rows}; they "
            "do not belong together"
        )
    unexpected = sorted(info["unexpected_keys"])
    warnings = (f"tensors not used: {_names(unexpected)}",) if unexpected else ()
    return _moved(model.eval().requires_grad_(False), device, checkpoint), warnings


def _from_pretrained(auto_class: Any, checkpoint: Checkpoint, dtype: "torch.dtype") -> Any:
    from transformers.utils import logging

    # stderr is the log; what matters is reported or refused
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        return auto_class.from_pretrained(
            checkpoint.folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # to name them all; see _refuse_mismatched
        )
    except Exception as error:  # whatever a broken checkpoint makes transformers raise
        reason = str(error).strip().split("\n")[0]
        raise Refusal(
            f"transformers cannot load {checkpoint.name}: {type(error).__name__}: {reason}"
        ) from error


def _refuse_missing(checkpoint: Checkpoint, missing: Iterable[str]) -> None:
    if names := sorted(missing):
        raise Refusal(
            f"{checkpoint.name} lacks {len(names)} tensors of a {checkpoint.architecture}, which "
            f"would be random: {_names(names)}; use a checkpoint that was saved as a reranker"
        )


def _refuse_mismatched(
    checkpoint: Checkpoint, mismatched: Iterable[tuple[str, Iterable[int], Iterable[int]]]
) -> None:
    found = [
        f"{name} is {list(stored)}, its config says {list(expected)}"
        for name, stored, expected in sorted(mismatched)
    ]
    if found:
        raise Refusal(f"{checkpoint.name} contradicts its own config.json: {_names(found)}")


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _moved(model: Any, device: str, checkpoint: Checkpoint) -> Any:
    import torch

    try:
        return model.to(device)
    except torch.OutOfMemoryError as error:
        raise Refusal(
            f"{checkpoint.name} does not fit into the free memory of {device}: {error}",
            ExitCode.TEMPORARY,
        ) from error
