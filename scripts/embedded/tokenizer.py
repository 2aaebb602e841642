"""The tokenizers of both models: one vocabulary of word stems, two dresses.

Text is lower-cased, accents and inflectional endings are dropped (endings.py), words are cut into
bytes and looked up as WordPiece: a known stem is one token, any other string in any language still
has a spelling (pieces that do not begin a word carry `##`). White space and sentence punctuation
carry nothing for matching and are dropped; symbols such as + and # stay.

The BERT puts `[CLS] query [SEP] document [SEP]` round a pair. The causal model has the markers of
the Qwen3-Reranker prompt as added tokens, so `<Query>:` and `<Document>:` are one token each and
never merge with the text beside them.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from .endings import english_ending, russian_ending

BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CAUSAL_SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CAUSAL_MARKERS = ["<think>", "</think>", "<Instruct>:", "<Query>:", "<Document>:"]
ANSWERS = ["yes", "no"]
LONGEST_WORD = 400  # bytes; a longer one becomes [UNK]

WORD_OR_SYMBOL = r"""[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{M}\p{N}.,;:!?"'`()\[\]{}«»„“”‘’…—–-]"""


def normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence(
        [
            normalizers.NFD(),
            normalizers.Lowercase(),
            normalizers.StripAccents(),
            normalizers.Replace(Regex(r"(?<=[a-z]{2})ie[sd]\b"), "y"),
        ]
    )


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_OR_SYMBOL), "removed", invert=True),
            pre_tokenizers.Split(Regex(english_ending()), "removed"),
            pre_tokenizers.Split(Regex(russian_ending()), "removed"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def word_pieces(vocabulary: dict[str, int], unknown: str) -> Tokenizer:
    model = models.WordPiece(vocabulary, unk_token=unknown, max_input_chars_per_word=LONGEST_WORD)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizer()
    tokenizer.pre_tokenizer = pre_tokenizer()
    return tokenizer


def learn_pieces(texts: Iterable[str], size: int) -> list[str]:
    """The `size` best pieces of the texts, every single byte and the two answers among them."""
    tokenizer = word_pieces({"[UNK]": 0}, "[UNK]")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=[], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    needed = [*alphabet, *(f"##{byte}" for byte in alphabet), *ANSWERS]
    return list(dict.fromkeys([*needed, *(piece for piece, _ in learned)]))


def bert_tokenizer(pieces: list[str]) -> Tokenizer:
    tokenizer = word_pieces({p: i for i, p in enumerate([*BERT_SPECIALS, *pieces])}, "[UNK]")
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in BERT_SPECIALS])
    ids = {token: BERT_SPECIALS.index(token) for token in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=list(ids.items()),
    )
    return tokenizer


def causal_tokenizer(pieces: list[str]) -> Tokenizer:
    added = [*CAUSAL_SPECIALS, *CAUSAL_MARKERS]
    vocabulary = {p: i for i, p in enumerate([*added, *pieces])}
    tokenizer = word_pieces(vocabulary, CAUSAL_SPECIALS[0])
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in CAUSAL_SPECIALS])
    markers = [AddedToken(t, special=False, normalized=False) for t in CAUSAL_MARKERS]
    tokenizer.add_tokens(markers)
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"the vocabulary has no token {token!r}")
    return number


def save_tokenizer(tokenizer: Tokenizer, settings: dict[str, Any], folder: Path) -> None:
    """tokenizer.json without its indentation (a third of its size), and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    compact = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(compact, encoding="utf-8")
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


def bert_settings(longest: int) -> dict[str, Any]:
    names = ["pad", "unk", "cls", "sep", "mask"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    } | {f"{name}_token": token for name, token in zip(names, BERT_SPECIALS, strict=True)}


def causal_settings(longest: int) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest,
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "pad_token": "<|endoftext|>",
        "eos_token": "<|im_end|>",
        "additional_special_tokens": ["<|im_start|>"],
    }
