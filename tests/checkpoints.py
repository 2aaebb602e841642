"""Small checkpoints with random weights, in the folder layout of the hub.

Weights are drawn wide, so that margins differ between documents and a wrong token shows. Tokenizers
are trained here on a few lines, so that every test runs everywhere. The real Qwen3 tokenizer is
used where it exists beside the project (`REAL_TOKENIZER`).
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

REAL_TOKENIZER = Path(__file__).parents[2] / "shared" / "data" / "qwen3-tokenizer"

SAMPLES = (
    "yes no yes no 1 0 The capital of France is Paris, and it lies on the Seine.",
    "Как часто нужно ходить к стоматологу? Два раза в год, говорят врачи.",
    "中国的首都是北京。万有引力是物体之间的吸引力。",
    "Gravity is a force that attracts two bodies towards each other; it keeps planets in orbit.",
    "Borscht is a sour soup made with beetroot. Борщ варят со свёклой и капустой.",
)

_CHAT_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>"),
    *("<tool_call>", "</tool_call>", "<think>", "</think>"),
)
_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DECODER: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 40960,
    "initializer_range": 0.15,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
_ENCODER: dict[str, Any] = {
    "num_labels": 1,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.25,
}


# -- decoders --------------------------------------------------------------------------------------


def decoder(folder: Path, model_type: str, **config: Any) -> Path:
    """Write a causal language model of any family, with the chat tokenizer."""
    settings = DECODER | {"vocab_size": chat_tokenizer().get_vocab_size()} | config
    _write_model("AutoModelForCausalLM", folder, model_type, settings)
    write_tokenizer(
        folder,
        chat_tokenizer(),
        tokenizer_class="Qwen2Tokenizer" if model_type == "qwen3" else "PreTrainedTokenizerFast",
        unk_token=None,
        pad_token="<|endoftext|>",
    )
    return folder


def qwen3(folder: Path, *, tied: bool = True, layers: int = 2, real: bool = False) -> Path:
    """Write a `Qwen3ForCausalLM`; with the real tokenizer and its 151,669 rows if asked."""
    rows = {"vocab_size": 151_669} if real else {}
    decoder(folder, "qwen3", tie_word_embeddings=tied, num_hidden_layers=layers, **rows)
    change_config(folder, _name_or_path="tests/Qwen3-Reranker-tiny")  # selects the prompt
    if real:
        for path in REAL_TOKENIZER.glob("*.json"):
            shutil.copyfile(path, folder / path.name)  # not copy(): the source is read-only
    return folder


def qwen3_seq_cls(folder: Path, *, labels: int = 1) -> Path:
    """Write a `Qwen3ForSequenceClassification`, as conversions of Qwen3-Reranker are."""
    seq_cls(folder, "qwen3", labels=labels)
    change_config(folder, _name_or_path="tests/Qwen3-Reranker-tiny-seq-cls")
    return folder


def seq_cls(folder: Path, model_type: str, *, labels: int = 1) -> Path:
    """Write a decoder of any family with a row for each label instead of a head."""
    size = chat_tokenizer().get_vocab_size()
    settings = DECODER | {"vocab_size": size, "num_labels": labels}
    _write_model("AutoModelForSequenceClassification", folder, model_type, settings)
    write_tokenizer(folder, chat_tokenizer(), tokenizer_class="Qwen2Tokenizer", unk_token=None)
    return folder


# -- encoders --------------------------------------------------------------------------------------


def encoder(
    folder: Path, model_type: str, *, dtype: str = "float32", types: bool = False, **config: Any
) -> Path:
    """Write a cross-encoder of any family, with the WordPiece tokenizer.

    Args:
        types: whether the tokenizer returns token types.
    """
    settings = _ENCODER | {"vocab_size": word_tokenizer().get_vocab_size()} | config
    _write_model("AutoModelForSequenceClassification", folder, model_type, settings, dtype)
    write_tokenizer(
        folder,
        word_tokenizer(),
        tokenizer_class="PreTrainedTokenizerFast",
        limit=512,
        pad_token="[PAD]",
        model_input_names=["input_ids", "attention_mask", *(["token_type_ids"] if types else [])],
    )
    return folder


def bert(folder: Path, *, labels: Sequence[str] = ("LABEL_0",), dtype: str = "float32") -> Path:
    """Write a `BertForSequenceClassification` with these labels, stored in this number format."""
    encoder(
        folder,
        "bert",
        dtype=dtype,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
    )
    write_tokenizer(
        folder, word_tokenizer(), tokenizer_class="BertTokenizer", do_lower_case=False, limit=512
    )
    return folder


def xlm_roberta(folder: Path) -> Path:
    """Write an `XLMRobertaForSequenceClassification`: 130 positions, 128 of them usable."""
    encoder(
        folder,
        "xlm-roberta",
        vocab_size=piece_tokenizer().get_vocab_size(),
        max_position_embeddings=130,
        type_vocab_size=1,
        pad_token_id=1,
    )
    write_tokenizer(folder, piece_tokenizer(), tokenizer_class="XLMRobertaTokenizer")
    return folder


def modernbert(folder: Path, **config: Any) -> Path:
    """Write a `ModernBertForSequenceClassification`: mean pooling, two of four layers local."""
    settings: dict[str, Any] = {
        "num_hidden_layers": 4,
        "initializer_range": 0.1,
        "classifier_pooling": "mean",
        "local_attention": 16,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    return encoder(folder, "modernbert", **(settings | config))


# -- tokenizers ------------------------------------------------------------------------------------


@cache
def chat_tokenizer(more: tuple[str, ...] = ()) -> Tokenizer:
    """Return a byte-level BPE that splits text like Qwen's and has Qwen's chat tokens.

    It is trained on the samples and on `more`.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=3000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_training_lines(more), trainer)
    tokenizer.add_tokens(
        [
            AddedToken(token, normalized=False, special=token.startswith("<|"))
            for token in _CHAT_TOKENS
        ]
    )
    return tokenizer


@cache
def word_tokenizer(more: tuple[str, ...] = ()) -> Tokenizer:
    """Return a cased WordPiece with BERT's pair template and the words of the samples and `more`.

    It is not trained: the trainer of tokenizers breaks ties by the order of its hash table, so each
    process would have another vocabulary, and other scores.
    """
    normalizer, splitter = (
        normalizers.BertNormalizer(lowercase=False),
        pre_tokenizers.BertPreTokenizer(),
    )
    lines = (normalizer.normalize_str(line) for line in (*SAMPLES, *more))
    words = {word for line in lines for word, _ in splitter.pre_tokenize_str(line)}
    letters = {letter for word in words for letter in word}
    pieces = sorted(letters | words) + [f"##{letter}" for letter in sorted(letters)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {piece: rank for rank, piece in enumerate(special + pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


@cache
def piece_tokenizer() -> Tokenizer:
    """Return a Unigram like XLM-R's: `</s>` is a piece that costs nothing."""
    text = " ".join(SAMPLES)
    words = dict.fromkeys(f"▁{word}" for word in text.split())
    letters = dict.fromkeys("▁" + text.replace(" ", "") + "<>/!?")
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(piece, -7.0 - 0.01 * rank) for rank, piece in enumerate(words)]
    pieces += [(piece, -9.0 - 0.01 * rank) for rank, piece in enumerate(letters)]
    pieces += [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return tokenizer


def _training_lines(more: Sequence[str] = ()) -> Iterator[str]:
    for _ in range(20):
        yield from SAMPLES
        yield from more


def write_tokenizer(
    folder: Path, tokenizer: Tokenizer, *, tokenizer_class: str, limit: int = 131072, **config: Any
) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config |= {"tokenizer_class": tokenizer_class, "model_max_length": limit}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


# -- files -----------------------------------------------------------------------------------------


def _write_model(
    auto_class: str, folder: Path, model_type: str, config: dict[str, Any], dtype: str = "float32"
) -> None:
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped
    torch.manual_seed(0)
    settings: Any = transformers.AutoConfig.for_model(model_type, **config)
    model: Any = getattr(transformers, auto_class).from_config(settings)
    model.to(getattr(torch, dtype)).save_pretrained(folder)


def change_config(folder: Path, **changes: object) -> None:
    """Set keys of a checkpoint's config.json; `None` removes a key."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def change_tensors(folder: Path, added: dict[str, torch.Tensor], *, without: str = "") -> None:
    """Remove the tensors whose names start with `without`, and add others."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    kept = {
        name: tensor
        for name, tensor in load_file(path).items()
        if not (without and name.startswith(without))
    }
    save_file(kept | added, path, metadata={"format": "pt"})
