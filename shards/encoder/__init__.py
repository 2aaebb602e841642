"""Turns strings into token ids, one file per way of showing a pair to a model.

`causal` writes the prompt of a template, `pair` joins two segments as the tokenizer itself does,
`tokenizer` loads what both use and keeps special tokens out of the clients' text, `passages` says
where a long document is cut.
"""

from shards.encoder.causal import CausalEncoder
from shards.encoder.pair import PairEncoder
from shards.encoder.passages import Span, cut, halves
from shards.encoder.templates import TEMPLATES, Template, choose_template
from shards.encoder.tokenizer import LoadedTokenizer, guard, load_tokenizer

__all__ = [
    "TEMPLATES",
    "CausalEncoder",
    "LoadedTokenizer",
    "PairEncoder",
    "Span",
    "Template",
    "choose_template",
    "cut",
    "guard",
    "halves",
    "load_tokenizer",
]
