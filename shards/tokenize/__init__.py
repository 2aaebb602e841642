"""Tokenizers: strings to token ids, one module per form of a model's input.

`causal` writes a prompt (`shards.prompts`), `runs` takes the prompt apart, and `answers` finds the
tokens that answer it. `pair` joins two segments as the tokenizer itself does; `apart` keeps the two
sides of a pair apart, and so does `late`, for late interaction. `tokenizer` loads a checkpoint's
tokenizer and keeps special tokens out of the clients' text. `passages` cuts long documents.
"""

from shards.tokenize.answers import answer_ids
from shards.tokenize.apart import ApartTokenizer
from shards.tokenize.causal import CausalTokenizer
from shards.tokenize.late import LateTokenizer
from shards.tokenize.pair import PairTokenizer
from shards.tokenize.passages import Span, cut, halves
from shards.tokenize.tokenizer import LoadedTokenizer, guard, load_tokenizer

__all__ = [
    "ApartTokenizer",
    "CausalTokenizer",
    "LateTokenizer",
    "LoadedTokenizer",
    "PairTokenizer",
    "Span",
    "answer_ids",
    "cut",
    "guard",
    "halves",
    "load_tokenizer",
]
