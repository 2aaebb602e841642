"""Turns strings into token ids, one file per way of showing a pair to a model.

`causal` writes the prompt of a template, `pair` joins two segments as the tokenizer itself does,
`tokenizer` loads what both use and keeps special tokens out of the clients' text.
"""

from shards.encoder.causal import CausalEncoder
from shards.encoder.pair import PairEncoder
from shards.encoder.templates import TEMPLATES, Template, choose_template
from shards.encoder.tokenizer import LoadedTokenizer, guard, load_tokenizer

__all__ = [
    "TEMPLATES",
    "CausalEncoder",
    "LoadedTokenizer",
    "PairEncoder",
    "Template",
    "choose_template",
    "guard",
    "load_tokenizer",
]
