"""The source of the model `embedded`, its vocabulary, and the codes that its folder has."""

import struct
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models

from scripts.embedded.adopt import packed
from scripts.embedded.e5_source import BLOCK, E5Source, Matrix
from scripts.embedded.languages import firsts, language_sets
from scripts.embedded.piece_choice import chosen, coverage, is_letter, use_by_words
from shards.checkpoint.quantised.codes import decoded

_PIECES = ("<s>", "<pad>", "</s>", "<unk>", "▁a", "b")


def _file(path: Path) -> Path:
    """Write a file of one layer, of which the word vectors are 0, 1, 2 ... times their scale."""
    offsets = np.cumsum([0, *(len(piece.encode()) for piece in _PIECES)]).astype("<u4")
    blob = "".join(_PIECES).encode()
    head = b"E5S1" + struct.pack("<I7if", 1, BLOCK, 0, 1, BLOCK, len(_PIECES), 2, 2, 1e-12)
    head += struct.pack("<i5iQ", BLOCK, len(_PIECES), 0, 2, 1, 3, len(blob))
    head += offsets.tobytes() + np.arange(len(_PIECES), dtype="<f4").tobytes() + blob
    head += struct.pack("<iIIBI", 1, 9, ord("ﬁ"), 1, ord("f"))
    codes = bytes(j | (15 - j) << 4 for j in range(16))
    blocks = b"".join(struct.pack("<e", 0.5 + row) + codes for row in range(len(_PIECES)))
    floats = {"emb.pos": 2 * BLOCK, "emb.type": BLOCK, "emb.ln.w": BLOCK, "emb.ln.b": BLOCK}
    named = {"emb.word": (len(_PIECES) * BLOCK, blocks)}
    named |= {
        name: (count, np.full(count, at, "<f4").tobytes())
        for at, (name, count) in enumerate(floats.items())
    }
    place = len(head) + 4 + sum(2 + len(name) + 21 for name in named)
    directory, data = struct.pack("<i", len(named)), b""
    for name, (count, content) in named.items():
        entry = struct.pack("<BIQQ", 0, count, place + len(data), len(content))
        directory += struct.pack("<H", len(name)) + name.encode() + entry
        data += content
    path.write_bytes(head + directory + data)
    return path


def test_a_file_is_read_as_its_description_says(tmp_path: Path) -> None:
    source = E5Source(_file(tmp_path / "e5.bin"))
    assert (source.sizes.hidden, source.sizes.vocabulary, source.sizes.types) == (BLOCK, 6, 2)
    assert list(source.pieces.texts) == list(_PIECES)
    assert source.pieces.scores == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert source.pieces.replaced == {"ﬁ": "f"}
    words = source.matrices()["embeddings.word_embeddings.weight"]
    expected = [*range(-8, 8), *range(7, -9, -1)]
    assert words.weights()[1].tolist() == [1.5 * number for number in expected]
    floats = source.floats()
    assert floats["embeddings.token_type_embeddings.weight"].shape == (2, BLOCK)
    assert floats["embeddings.LayerNorm.bias"].tolist() == [3.0] * BLOCK


def test_codes_are_taken_over_as_they_are() -> None:
    chance = np.random.default_rng(3)
    codes = chance.integers(0, 16, (5, 2 * BLOCK), dtype=np.uint8)
    matrix = Matrix(codes, chance.random((5, 2)).astype(np.float16))
    found = packed(matrix.rows([4, 0]))
    weights = decoded(found["codes"], found["scales"], bits=4, block=BLOCK)
    assert torch.equal(weights, torch.from_numpy(matrix.weights()[[4, 0]]))


def test_pieces_that_words_need_are_kept_before_others() -> None:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "ж", "▁the", "▁rare", "中"]
    scored = [(piece, -float(at)) for at, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=3))
    use = use_by_words(tokenizer, "en", [("▁the", 0.9), ("▁rare", 0.1)])
    assert sum(use.values()) == 1.0
    kept = chosen(pieces, {"en": use}, 4, 8)
    assert [pieces[piece] for piece in kept] == [*pieces[:7], "▁the"]
    assert 0.0 < coverage(kept, use) < 1.0
    assert is_letter("▁9") and is_letter("…") and not is_letter("中") and not is_letter("ab")


def test_rights_that_come_first_are_counted() -> None:
    german, *others = language_sets()
    assert [len(held.questions) for held in (german, *others)] == [10] * 4
    scores = [[float(at == place) for at in range(10)] for place in range(10)]
    assert firsts(german, scores) == 10
    assert firsts(german, scores[::-1]) == 0
