"""The stages of the build as functions; what takes long is kept in the cache folder.

A stage that finds its file in the cache reads it instead of working again. The files are named
after the stage; to do a stage anew, delete its file and those of the later stages.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import Progress
from tokenizers import Tokenizer
from torch import Tensor

from . import start_bert, start_causal, training
from .evaluation import Ranker, Set, bm25_ranker, figures, model_ranker
from .folder import rounded
from .lists import Asked, ListMaker, Passage
from .pairs import BertLayout, CausalLayout
from .report import CHOICE, CHOICE_RUSSIAN, choice_sets
from .scoring import Reranker
from .sources import Pair, read_lexicon, read_pairs, sense_pairs
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
from .written import read_function_words, read_written

KINDS = ("bert", "qwen3")
PIECES = 22_000
DIMENSIONS = 120
OWN_TIMES_VOCABULARY = 20  # of the texts written for this project
LEXICON_TIMES_VECTORS = 8
BAGS = {"written-en": 8, "written-ru": 8, "wordnet": 2, "koziev-qa": 1}  # shuffles, see `bags`
SEED = 1

LONG_TEXTS = (96, 128, 256, 256, 512, 512)
COURSES = {
    # Two courses that differ in their lists and in how far the matching layers may move.
    "bert": tuple(
        training.Course(
            steps=600,
            horizon=1000,
            cool_down=300,
            rate=5e-4,
            seed=seed,
            lengths=LONG_TEXTS,
            matching_rate=matching_rate,
        )
        for seed, matching_rate in ((1, 0.2), (2, 1.0))
    ),
    "qwen3": (training.Course(steps=450, rate=3e-4),),
}
# Of the trained weights in the average with the start.
SHARES = {"bert": (0.6, 0.8, 0.9, 1.0), "qwen3": (0.5, 0.75, 1.0)}
CHOICE_QUERIES = 50  # of each retrieval set, evenly drawn

Say = Callable[[str], None]
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Corpus:
    pairs: list[Pair]
    training: list[Pair]
    texts: list[Text]  # for frequencies: passages once, and the questions asked about them
    lexicon: list[tuple[str, str]]


def read_corpus(data: Path, wordnet: Path, say: Say) -> Corpus:
    pairs = [*read_pairs(data), *sense_pairs(wordnet)]
    chosen = [pair for pair in pairs if pair.split == "train"]
    texts = [Text(s, language, text) for s, language, text in distinct_passages(chosen)]
    # The dialogue questions only turn their premise round; counting them would count it thrice.
    # WordNet's words are no questions: each would stand there once, the rare as often as the plain.
    asked = [p for p in chosen if p.source not in ("koziev-qa", "wordnet")]
    texts += [Text(f"{p.source}-questions", p.language, p.query) for p in asked]
    for (source, split), count in sorted(Counter((p.source, p.split) for p in pairs).items()):
        say(f"  {source:10} {split:9} {count:6} pairs")
    letters = sum(len(text.text) for text in texts)
    say(f"  written items dropped, being near the everyday list: {read_written()[1]}")
    say(f"  training text: {len(texts)} passages and questions, {letters / 1e6:.1f} M characters")
    return Corpus(pairs, chosen, texts, read_lexicon())


def distinct_passages(pairs: Sequence[Pair]) -> list[tuple[str, str, str]]:
    """(source, language, text) of the passages, right and wrong."""
    every = [(p.source, p.language, text) for p in pairs for text in (p.document, p.wrong)]
    return [passage for passage in dict.fromkeys(every) if passage[2]]


def vocabulary(corpus: Corpus, cache: Path, say: Say) -> list[str]:
    path = cache / "pieces.json"
    if not path.exists():
        texts = [text.text for text in corpus.texts]
        texts += [pair.query for pair in corpus.training if pair.source == "wordnet"]
        own = [text.text for text in corpus.texts if text.source.startswith("written")]
        own += [line for _, line in corpus.lexicon]
        learned = learn_pieces(texts + own * OWN_TIMES_VOCABULARY, PIECES)
        path.write_text(json.dumps(learned, ensure_ascii=False))
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
        found = meaning(tokenizer, corpus.texts + own + bags(corpus.training), DIMENSIONS)
        weights = token_weights(tokenizer, corpus.texts, sorted(read_function_words()))
        skipped = len(BERT_SPECIALS)
        torch.save((found[skipped:].clone(), weights[skipped:].clone()), path)
    found, weights = torch.load(path)
    known = int((found.norm(dim=1) > 0).sum())
    say(f"  {known} pieces with a meaning; median weight {weights.median():.2f}")
    return found, weights


def bags(pairs: Sequence[Pair]) -> list[Text]:
    """Queries with the text that answers them, their words shuffled: all that a question and its
    answer say stands within a window of one another, and the words in between do not separate
    it."""
    queries: dict[tuple[str, str, str], list[str]] = {}
    for pair in pairs:
        queries.setdefault((pair.source, pair.language, pair.document), []).append(pair.query)
    chance, found = random.Random(SEED), []
    for (source, language, document), asked in queries.items():
        words = re.findall(r"\w+", " ".join([*asked, document]))
        told = [word for word in words if word.lower() not in read_function_words()]
        for _ in range(BAGS.get(source, 0)):
            chance.shuffle(told)
            found.append(Text(source, language, " ".join(told)))
    return found


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


def list_maker(
    corpus: Corpus, tokenizer: Tokenizer, weights: Tensor, course: training.Course
) -> ListMaker:
    passages = [Passage(*found) for found in distinct_passages(corpus.training)]
    numbers = {(p.source, p.text): n for n, p in enumerate(passages)}
    asked = [
        Asked(p.query, numbers[p.source, p.document], numbers.get((p.source, p.wrong)))
        for p in corpus.training
    ]
    passages += [Passage(f"lexicon-{lang}", lang, line) for lang, line in corpus.lexicon]
    missing = tokenizer.get_vocab_size() - len(weights)
    every = [FUNCTION_WORD_WEIGHT] * missing + weights.tolist()
    return ListMaker(passages, asked, tokenizer, every, course.seed, course.lengths)


def trained(
    kind: str,
    begun: Reranker,
    corpus: Corpus,
    weights: Tensor,
    cache: Path,
    progress: Progress,
) -> tuple[Reranker, float]:
    """The trained model (the mean of its courses), averaged with the start and rounded as it will
    be
    stored, and the share of the trained weights in the average."""
    initial = {name: value.clone() for name, value in begun.model.state_dict().items()}
    ends = []
    for course in COURSES[kind]:
        begun.model.load_state_dict(initial)
        ends.append(end_of(course, kind, begun, corpus, weights, cache, progress))
    final = {name: torch.stack([end[name] for end in ends]).mean(0) for name in initial}
    share = best_share(kind, begun, initial, final, corpus, cache, progress)
    training.average_in(begun.model, initial, final, share)
    return rounded(begun), share


def end_of(
    course: training.Course,
    kind: str,
    begun: Reranker,
    corpus: Corpus,
    weights: Tensor,
    cache: Path,
    progress: Progress,
) -> Weights:
    """The weights at the end of one course from the start."""
    path = cache / f"trained-{kind}-{course.seed}.pt"
    if not path.exists():
        maker = list_maker(corpus, begun.tokenizer, weights, course)
        kept = cache / f"checkpoint-{kind}-{course.seed}.pt"
        training.run(training.Training(begun, maker, course), kept, progress, kind)
        torch.save(begun.model.state_dict(), path)
    end: Weights = torch.load(path)
    return end


def best_share(
    kind: str,
    begun: Reranker,
    initial: Weights,
    final: Weights,
    corpus: Corpus,
    cache: Path,
    progress: Progress,
) -> float:
    """The share that ranks the sets of the `choice` part best; see `choose`."""
    path = cache / f"shares-{kind}.json"
    if not path.exists():
        sets = choice_sets(corpus.pairs, CHOICE_QUERIES)
        plain = gains(sets, bm25_ranker(stemmed=False))
        progress.console.print(f"BM25: {plain}")
        found = []
        for share in progress.track(SHARES[kind], description=f"choosing {kind}'s share"):
            training.average_in(begun.model, initial, final, share)
            found.append((share, gains(sets, model_ranker(begun))))
            progress.console.print(f"trained share {share:.0%}: {found[-1][1]}")
        path.write_text(json.dumps(choose(found, plain)))
    best: float = json.loads(path.read_text())
    return best


def gains(sets: Sequence[Set], ranker: Ranker) -> dict[str, float]:
    """nDCG@10 by the name of the set."""
    return {held.name: round(figures(held, ranker(held)).ndcg, 3) for held in sets}


def choose(found: Sequence[tuple[float, dict[str, float]]], plain: dict[str, float]) -> float:
    """The share with the best mean over all sets, of those at which the retrieval sets together,
    and the Russian ones alone, are not below plain BM25; of all if it is no share's lot."""

    def mean(each: dict[str, float], names: Iterable[str]) -> float:
        return sum(each[name] for name in names) / len(each)

    groups = (CHOICE, CHOICE_RUSSIAN)
    level = [
        (share, each)
        for share, each in found
        if all(mean(each, names) >= mean(plain, names) for names in groups)
    ]
    share, _ = max(level or found, key=lambda one: mean(one[1], one[1]))
    return share
