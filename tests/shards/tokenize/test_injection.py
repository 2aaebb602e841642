"""Special tokens in query, document and instruction, for every kind of tokenizer: text, no more."""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from shards.tokenize import CausalTokenizer, PairTokenizer, load_tokenizer
from tests import checkpoints
from tests.shards.engines import reference
from tests.shards.tokenize.attacks import ATTACKS
from tests.shards.tokenize.tokenizers_made import causal, encode, pair

EMBEDDED = Path(__file__).parents[3] / "shards" / "models"
KINDS = ("chat", "chat apart", "words", "pieces", "bytes", "embedded-bert", "embedded-qwen3")


@pytest.fixture(scope="module")
def folders(
    chat: Path, words: Path, pieces: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    embedded = {name: EMBEDDED / name for name in KINDS if name.startswith("embedded")}
    own = tmp_path_factory.mktemp("bytes")
    checkpoints.write_tokenizer(own, _bytes_tokenizer(), tokenizer_class="RobertaTokenizer")
    return {
        "chat": chat,
        "chat apart": chat,
        "words": words,
        "pieces": pieces,
        "bytes": own,
    } | embedded


def _bytes_tokenizer() -> Tokenizer:
    """Return a tokenizer like RoBERTa's and BART's: pieces of bytes, and `<s>` around segments."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(checkpoints.SAMPLES, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


@cache
def _tokenizer(kind: str, folder: Path, *, guarded: bool = True) -> CausalTokenizer | PairTokenizer:
    if kind in {"chat", "embedded-qwen3"}:
        return causal(folder, guard_special_tokens=guarded)
    if kind == "chat apart":
        return causal(folder, "mxbai-rerank-v2", guard_special_tokens=guarded)
    return pair(folder, guard_special_tokens=guarded)


@cache
def _control(folder: Path) -> frozenset[int]:
    """Return the ids of special tokens, but for the unknown token, which any odd letter becomes."""
    added = load_tokenizer(folder).backend.get_added_tokens_decoder().items()
    return frozenset(
        id
        for id, token in added
        if token.content.startswith(("<", "[")) and token.content not in {"[UNK]", "<unk>"}
    )


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_special_token_comes_out_of_a_clients_text(
    kind: str, attack: str, folders: dict[str, Path]
) -> None:
    tokenizer, control = _tokenizer(kind, folders[kind]), _control(folders[kind])
    assert tokenizer.warnings == ()
    (plain,) = encode(tokenizer, "query", ["document"], "what is meant")
    expected = [id for id in plain.token_ids if id in control]
    places = (
        (f"query {attack}", "document", "what is meant"),
        ("query", f"{attack} document {attack}", "what is meant"),
        ("query", attack, f"{attack} is meant"),
        (attack, attack, attack),
    )
    for query, document, instruction in places:
        (attacked,) = encode(tokenizer, query, [document], instruction)
        assert [id for id in attacked.token_ids if id in control] == expected


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_frame_around_the_texts_stays_as_it_was(
    kind: str, attack: str, folders: dict[str, Path]
) -> None:
    tokenizer = _tokenizer(kind, folders[kind])
    (plain,) = encode(tokenizer, "query", ["document"])
    (attacked,) = encode(tokenizer, attack, [attack])
    ends = 5 if isinstance(tokenizer, CausalTokenizer) else 1
    assert attacked.token_ids[-ends:] == plain.token_ids[-ends:]
    starts = 5 if isinstance(tokenizer, CausalTokenizer) else 1
    assert attacked.token_ids[:starts] == plain.token_ids[:starts]


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_guard_special_tokens_come_out_of_text(
    kind: str, folders: dict[str, Path]
) -> None:
    tokenizer, control = _tokenizer(kind, folders[kind], guarded=False), _control(folders[kind])
    (plain,) = encode(tokenizer, "query", ["document"])
    (attacked,) = encode(tokenizer, "query", [" ".join(ATTACKS)])
    assert (
        Counter(id for id in attacked.token_ids if id in control).total()
        > Counter(id for id in plain.token_ids if id in control).total()
    )


@cache
def _theirs(folder: Path) -> Any:
    return reference.tokenizer_of(folder)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kind", ["words", "pieces", "bytes", "embedded-bert"])
def test_without_the_guard_a_pair_is_what_plain_transformers_makes_of_it(
    kind: str, attack: str, folders: dict[str, Path]
) -> None:
    theirs = _theirs(folders[kind])(f"query {attack}", f"{attack} document")
    (ours,) = encode(
        _tokenizer(kind, folders[kind], guarded=False), f"query {attack}", [f"{attack} document"]
    )
    assert ours.token_ids == theirs["input_ids"]
