"""Properties of a loaded model: its engine states them, `Ready` carries them to the gateway."""

from dataclasses import dataclass

WHOLE = "whole "
"""The start of `files` where they cover every byte of the checkpoint."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One loaded model. Build it by keyword: the order of the fields is that on the wire.

    Attributes:
        engine: the engine's name.
        device: the device in use (may differ from the spec's, with a line in `warnings`).
        dtype: `fp32`, `bf16`, `fp16`, `int8`, or `int4` of an exported graph.
        max_length: the most tokens of one pair.
        token_budget: the most tokens of one batch, padding included; a single longer pair makes a
            batch of its own.
        prompt_tokens: tokens of a pair of empty strings that no other pair shares; 0 until the
            shard has measured them.
        shared_tokens: tokens of the prompt that all pairs share; 0 until the shard has measured
            them, and where pairs share nothing, not even their query.
        packed: whether batches have no padding, so that pairs of any lengths go together.
        activation: the function of the checkpoint over the margin: `sigmoid` or `identity`.
        uses_instruction: whether the instruction reaches the model.
        demonstration: whether the checkpoint calls itself a demonstration model.
        has_meaning: whether scores depend on the meaning of the texts.
        warnings: lines for the operator (fallbacks, guesses).
        notes: results of measurements, and the choices made by them.
        doubts: the `warnings` that concern the scores (guesses, deviations from the checkpoint);
            replies carry them too.
        languages: languages of the checkpoint (ISO 639-1); empty if it states none.
        fingerprint: changes when a file of the checkpoint or the engine's graph does; empty
            without files.
        files: changes when a file of the checkpoint does, whatever engine reads it; empty without
            files. It starts with `WHOLE` if the spec asks for that.
        markers: pieces of the prompt that no ordinary text holds.
        labels: the names of the head's labels; empty for heads without them.
        vector_width: the numbers of the vector of a text; 0 for models that compare pairs.
        vector_sizes: the smaller sizes to which vectors may be cut, by the checkpoint's files.
        any_vector_size: whether these files allow any size.
        onednn_products: the shapes whose products are oneDNN's, since they were faster than ours.
    """

    engine: str
    device: str
    dtype: str
    max_length: int
    token_budget: int
    prompt_tokens: int = 0
    shared_tokens: int = 0
    packed: bool = False
    uses_instruction: bool = False
    demonstration: bool = False
    has_meaning: bool = True
    activation: str = "sigmoid"
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    fingerprint: str = ""
    files: str = ""
    markers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    vector_width: int = 0
    vector_sizes: tuple[int, ...] = ()
    any_vector_size: bool = False
    onednn_products: tuple[str, ...] = ()
