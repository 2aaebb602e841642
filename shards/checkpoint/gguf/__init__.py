"""GGUF files, llama.cpp's form of a checkpoint: one file with sizes, vocabulary and weights.

`source` finds the file. `unfolding` makes a folder of it as the hub has them: config.json by
`families`, the tokenizer by `vocabulary`, and a link to the file. The rest of this room reads that
folder like any other. `tensors` gives the weights their usual names; `checkpoint.quantised` decodes
them.
"""

from shards.checkpoint.gguf.source import gguf_in
from shards.checkpoint.gguf.tensors import WEIGHTS, gguf_header, gguf_reader
from shards.checkpoint.gguf.unfolding import unfolded

__all__ = ["WEIGHTS", "gguf_header", "gguf_in", "gguf_reader", "unfolded"]
