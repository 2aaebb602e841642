"""The forms of quantised weights that are served, by the name that config.json gives them."""

from collections.abc import Callable, Mapping

from shards.checkpoint.expect import File
from shards.checkpoint.quantised.bitsandbytes import bitsandbytes
from shards.checkpoint.quantised.codes import codes
from shards.checkpoint.quantised.compressed import compressed_tensors, fp8
from shards.checkpoint.quantised.gguf import gguf
from shards.checkpoint.quantised.gptq import auto_round, awq, gptq
from shards.checkpoint.quantised.matrices import NOTHING, Headers, Quantised, Read
from shards.checkpoint.quantised.mlx import mlx
from shards.checkpoint.quantised.stored import Stored
from shards.refusal import Refusal

FORMS: Mapping[str, Callable[[File, Stored], Quantised]] = {
    "auto-round": auto_round,
    "awq": awq,
    "bitsandbytes": bitsandbytes,
    "compressed-tensors": compressed_tensors,
    "fp8": fp8,
    "gguf": gguf,
    "gptq": gptq,
}
"""The reader of each form, by `quant_method`."""


def read_quantised(config: File, headers: Headers, read: Read) -> Quantised:
    """Return the matrices that a checkpoint stores in parts.

    Args:
        config: its config.json.
        headers: the description of each stored tensor.
        read: returns a stored tensor; only a few small ones are read.

    Raises:
        Refusal: the form is not served, or the tensors are not of it.
    """
    stored = Stored(config.name, headers, read)
    ours = config.object("rerank_gateway").object("weights")
    if ours.content:
        return codes(ours, stored)
    if (of_mlx := config.object("quantization")).content:
        return mlx(of_mlx, stored)
    theirs = config.object("quantization_config")
    if not theirs.content:
        return NOTHING
    method = theirs.text("quant_method")
    if method not in FORMS:
        raise Refusal(
            f"{config.name}: its weights are quantised by {method or 'an unnamed method'}; "
            f"{', '.join(sorted(FORMS))} are served: give one of these, or the fp32, bf16 or fp16 "
            "checkpoint"
        )
    return FORMS[method](theirs, stored)
