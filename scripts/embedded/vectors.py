"""Meaning and weight of a token: vectors from co-occurrence, weights from rarity.

**Vectors.** Tokens that stand within five places of each other are counted; the counts become
positive pointwise mutual information, context counts smoothed by the power 0.75; a randomised
singular value decomposition brings the matrix down to a few dimensions. A third of each vector is
then replaced by noise: `sqrt(.65) * meaning + sqrt(.35) * noise`. Equal tokens still have cosine 1,
neighbours in meaning keep two thirds of theirs, strangers lie near 0: what a soft match needs.

**Weights.** BM25 weighs a word by its inverse document frequency in the collection at hand; a model
has no collection, so the weight is fixed in the vocabulary. The frequency of a word is the mean of
its frequencies in the sources of its language, so that no one source decides ("function" is
everywhere in a manual and nowhere in an encyclopedia). A word that falls into pieces shares its
weight out to them: a rare word spelled with frequent pieces stays as heavy as one rare word. Words
that only make a question or a sentence hang together (`function_words` of the lexicon) get little.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer

WINDOW = 5
GAP = -1
FUNCTION_WORD_WEIGHT = 0.04
PIECE_POWER = 0.75  # n pieces together weigh n ** (1 - power) times the word


@dataclass(frozen=True)
class Text:
    """One passage, sentence or lexicon line; `source` decides whose frequency it counts in."""

    source: str
    language: str
    text: str
    times: int = 1


def token_stream(tokenizer: Tokenizer, texts: Sequence[Text]) -> np.ndarray:
    """All texts as one row of ids with gaps, so that no window reaches over a border."""
    parts = []
    gap = np.full(WINDOW + 1, GAP, dtype=np.int64)
    encoded = tokenizer.encode_batch([t.text for t in texts], add_special_tokens=False)
    for text, encoding in zip(texts, encoded, strict=True):
        parts += [np.array(encoding.ids, dtype=np.int64), gap] * text.times
    return np.concatenate(parts)


def sparse(indices: torch.Tensor, values: torch.Tensor, size: int) -> torch.Tensor:
    """A square matrix of pairs; values of the same pair add up."""
    shape = (size, size)
    return torch.sparse_coo_tensor(indices, values, shape, check_invariants=True).coalesce()


def co_occurrence(stream: np.ndarray, size: int) -> torch.Tensor:
    """A symmetric sparse matrix of neighbours; the two nearest places count a little more."""
    keys, counts = [], []
    for distance in range(1, WINDOW + 1):
        left, right = stream[:-distance], stream[distance:]
        real = (left != GAP) & (right != GAP)
        key, count = np.unique(left[real] * size + right[real], return_counts=True)
        keys.append(key)
        counts.append(count * (1.0 if distance < 3 else 0.6))
    key, count = np.concatenate(keys), np.concatenate(counts)
    rows, columns = key // size, key % size
    both = np.stack([np.append(rows, columns), np.append(columns, rows)])
    values = torch.from_numpy(np.append(count, count)).float()
    return sparse(torch.from_numpy(both), values, size)


def positive_information(counts: torch.Tensor) -> torch.Tensor:
    (rows, columns), values = counts.indices(), counts.values()
    totals = torch.zeros(counts.shape[0]).index_add_(0, rows, values) + 1e-9
    contexts = totals**0.75 / (totals**0.75).sum()
    information = (values / totals[rows] / contexts[columns]).log()
    kept = information > 0
    indices = torch.stack([rows[kept], columns[kept]])
    return sparse(indices, information[kept], counts.shape[0])


def leading_factors(matrix: torch.Tensor, dimensions: int, rounds: int = 4) -> torch.Tensor:
    """Left singular vectors times the root of their values (randomised range finder)."""
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(matrix.shape[1], dimensions + 24, generator=generator)
    rows, columns = matrix, matrix.t().coalesce()
    basis = torch.linalg.qr(rows @ sample)[0]
    for _ in range(rounds):
        basis = torch.linalg.qr(rows @ (columns @ basis))[0]
    left, values, _ = torch.linalg.svd((columns @ basis).T, full_matrices=False)
    factors: torch.Tensor = (basis @ left)[:, :dimensions] * values[:dimensions].sqrt()
    return factors


def meaning(tokenizer: Tokenizer, texts: Sequence[Text], dimensions: int) -> torch.Tensor:
    """One row per token, of length 1, or 0 for a token that the texts do not hold."""
    size = tokenizer.get_vocab_size()
    counts = co_occurrence(token_stream(tokenizer, texts), size)
    vectors = leading_factors(positive_information(counts), dimensions)
    known = vectors.norm(dim=1) > 1e-6
    vectors[known] -= vectors[known].mean(0)
    return torch.where(known[:, None], torch.nn.functional.normalize(vectors, dim=1), 0.0)


def words_of(tokenizer: Tokenizer, texts: Sequence[Text]) -> list[set[tuple[int, ...]]]:
    """The different words of each text, each as the tuple of its pieces."""
    found = []
    for encoding in tokenizer.encode_batch([t.text for t in texts], add_special_tokens=False):
        words: dict[int, list[int]] = defaultdict(list)
        for token, word in zip(encoding.ids, encoding.word_ids, strict=True):
            words[-1 if word is None else word].append(token)
        found.append({tuple(pieces) for pieces in words.values()})
    return found


def word_weights(tokenizer: Tokenizer, texts: Sequence[Text]) -> dict[tuple[int, ...], float]:
    """1 for a word met once in its language, less for a frequent one."""
    frequency: dict[str, Counter[tuple[int, ...]]] = defaultdict(Counter)
    sizes: Counter[str] = Counter()
    languages: dict[str, str] = {}
    for text, words in zip(texts, words_of(tokenizer, texts), strict=True):
        frequency[text.source].update(words)
        sizes[text.source] += 1
        languages[text.source] = text.language
    shares: dict[tuple[int, ...], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for source, counter in frequency.items():
        sources = sum(1 for other in languages.values() if other == languages[source])
        for word, count in counter.items():
            shares[word][languages[source]] += count / sizes[source] / sources
    rarest = 1e-4
    return {
        word: float(-np.log(min(1.0, max(by_language.values()) + rarest)) / -np.log(rarest))
        for word, by_language in shares.items()
    }


def token_weights(
    tokenizer: Tokenizer, texts: Sequence[Text], function_words: Sequence[str]
) -> torch.Tensor:
    """The weight of each token in (0, 1]; pieces share the weight of the words they spell."""
    total = torch.zeros(tokenizer.get_vocab_size())
    uses = torch.zeros(tokenizer.get_vocab_size())
    for word, weight in word_weights(tokenizer, texts).items():
        # A word's frequency is told back from its weight: frequent words decide about a token.
        frequency = 1e-4**weight
        for token in word:
            total[token] += frequency * weight / len(word) ** PIECE_POWER
            uses[token] += frequency
    weights = torch.where(uses > 0, total / uses.clamp(min=1e-12), 0.5)
    for function_word in function_words:
        ids = tokenizer.encode(function_word, add_special_tokens=False).ids
        if len(ids) == 1:
            weights[ids[0]] = FUNCTION_WORD_WEIGHT
    return weights.clamp(FUNCTION_WORD_WEIGHT, 1.0)
