"""The stages of the build as functions; what takes long is kept in the cache folder.

A stage that finds its file in the cache reads it instead of working again. The files are named
after the stage; to do a stage anew, delete its file and those of the later stages.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import Progress
from tokenizers import Tokenizer
from torch import Tensor

from . import start_bert, start_causal, training
from .folder import rounded
from .lists import Asked, ListMaker, Passage
from .pairs import BertLayout, CausalLayout
from .scoring import Reranker
from .sources import Pair, read_lexicon, read_pairs
from .tokenizer import (
    BERT_SPECIALS,
    CAUSAL_MARKERS,
    CAUSAL_SPECIALS,
    bert_tokenizer,
    causal_tokenizer,
    learn_pieces,
    token_id,
)
from .vectors import FUNCTION_WORD_WEIGHT, Text, meaning, token_weights

KINDS = ("bert", "qwen3")
PIECES = 20_000
DIMENSIONS = 120
LEXICON_TIMES_VOCABULARY, LEXICON_TIMES_VECTORS = 20, 8
SEED = 1

COURSES = {
    "bert": training.Course(steps=600, rate=5e-4),
    "qwen3": training.Course(steps=260, rate=3e-4),
}
TRAINED_SHARE = {"bert": 0.3, "qwen3": 0.5}

FUNCTION_WORDS = Path(__file__).parent / "function_words.txt"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Corpus:
    pairs: list[Pair]
    training: list[Pair]
    texts: list[Text]  # for frequencies: passages once, and the questions asked about them
    lexicon: list[tuple[str, str]]


def read_corpus(data: Path, say: Say) -> Corpus:
    pairs = read_pairs(data)
    chosen = [pair for pair in pairs if pair.split == "train"]
    texts = [Text(s, language, text) for s, language, text in distinct_passages(chosen)]
    # The dialogue questions only turn their premise round; counting them would count it thrice.
    asked = [p for p in chosen if p.source != "koziev-qa"]
    texts += [Text(f"{p.source}-questions", p.language, p.query) for p in asked]
    for (source, split), count in sorted(Counter((p.source, p.split) for p in pairs).items()):
        say(f"  {source:10} {split:9} {count:6} pairs")
    letters = sum(len(text.text) for text in texts)
    say(f"  training text: {len(texts)} passages and questions, {letters / 1e6:.1f} M characters")
    return Corpus(pairs, chosen, texts, read_lexicon())


def distinct_passages(pairs: Sequence[Pair]) -> list[tuple[str, str, str]]:
    return list(dict.fromkeys((p.source, p.language, p.document) for p in pairs))


def vocabulary(corpus: Corpus, cache: Path, say: Say) -> list[str]:
    path = cache / "pieces.json"
    if not path.exists():
        texts = [text.text for text in corpus.texts]
        own = [line for _, line in corpus.lexicon] * LEXICON_TIMES_VOCABULARY
        path.write_text(json.dumps(learn_pieces(texts + own, PIECES), ensure_ascii=False))
    pieces: list[str] = json.loads(path.read_text())
    beginnings = sum(not piece.startswith("##") for piece in pieces)
    say(f"  {len(pieces)} pieces, {beginnings} of them begin a word")
    return pieces


def vectors(corpus: Corpus, pieces: list[str], cache: Path, say: Say) -> tuple[Tensor, Tensor]:
    """A vector and a weight per piece, without the special tokens of either model."""
    path = cache / "vectors.pt"
    if not path.exists():
        tokenizer = bert_tokenizer(pieces)
        own = [Text("lexicon", lang, line, LEXICON_TIMES_VECTORS) for lang, line in corpus.lexicon]
        found = meaning(tokenizer, corpus.texts + own, DIMENSIONS)
        weights = token_weights(tokenizer, corpus.texts, read_function_words())
        skipped = len(BERT_SPECIALS)
        torch.save((found[skipped:].clone(), weights[skipped:].clone()), path)
    found, weights = torch.load(path)
    known = int((found.norm(dim=1) > 0).sum())
    say(f"  {known} pieces with a meaning; median weight {weights.median():.2f}")
    return found, weights


def read_function_words() -> list[str]:
    lines = FUNCTION_WORDS.read_text(encoding="utf-8").splitlines()
    return [word for line in lines for word in line.split()]


def with_specials(count: int, found: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Rows for the special tokens that come first in the vocabulary: no meaning, least weight."""
    nothing = torch.zeros(count, found.shape[1])
    least = torch.full((count,), FUNCTION_WORD_WEIGHT)
    return torch.cat([nothing, found]), torch.cat([least, weights])


def start(kind: str, pieces: list[str], found: Tensor, weights: Tensor) -> Reranker:
    return (start_of_bert if kind == "bert" else start_of_qwen3)(pieces, found, weights)


def start_of_bert(pieces: list[str], found: Tensor, weights: Tensor) -> Reranker:
    tokenizer = bert_tokenizer(pieces)
    found, weights = with_specials(len(BERT_SPECIALS), found, weights)
    config = start_bert.configuration(len(found))
    cls, sep = token_id(tokenizer, "[CLS]"), token_id(tokenizer, "[SEP]")
    model = start_bert.computed_bert(config, found, weights, cls, sep)
    return Reranker(model.train(False), tokenizer, BertLayout(tokenizer))


def start_of_qwen3(pieces: list[str], found: Tensor, weights: Tensor) -> Reranker:
    tokenizer = causal_tokenizer(pieces)
    added = len(CAUSAL_SPECIALS) + len(CAUSAL_MARKERS)
    found, weights = with_specials(added, found, weights)
    config = start_causal.configuration(len(found))
    config.eos_token_id, config.pad_token_id = (
        token_id(tokenizer, token) for token in ("<|im_end|>", "<|endoftext|>")
    )
    names = ("<|im_start|>", "<Query>:", "<Document>:", "</think>", "yes", "no")
    ids = start_causal.MarkerIds(*(token_id(tokenizer, name) for name in names))
    model = start_causal.computed_causal(config, found, weights, ids)
    return Reranker(model.train(False), tokenizer, CausalLayout(tokenizer))


def list_maker(corpus: Corpus, tokenizer: Tokenizer, weights: Tensor) -> ListMaker:
    passages = [Passage(*found) for found in distinct_passages(corpus.training)]
    numbers = {(p.source, p.text): n for n, p in enumerate(passages)}
    asked = [Asked(p.query, numbers[p.source, p.document]) for p in corpus.training]
    passages += [Passage(f"lexicon-{lang}", lang, line) for lang, line in corpus.lexicon]
    missing = tokenizer.get_vocab_size() - len(weights)
    every = [FUNCTION_WORD_WEIGHT] * missing + weights.tolist()
    return ListMaker(passages, asked, tokenizer, every, SEED)


def trained(
    kind: str,
    begun: Reranker,
    corpus: Corpus,
    weights: Tensor,
    cache: Path,
    progress: Progress,
) -> Reranker:
    """The trained model, averaged with the start and rounded as it will be stored."""
    path = cache / f"trained-{kind}.pt"
    initial = {name: value.clone() for name, value in begun.model.state_dict().items()}
    if not path.exists():
        maker = list_maker(corpus, begun.tokenizer, weights)
        training.run(begun, maker, COURSES[kind], progress, kind)
        torch.save(begun.model.state_dict(), path)
    begun.model.load_state_dict(torch.load(path))
    training.average_with(begun, initial, TRAINED_SHARE[kind])
    return rounded(begun)
