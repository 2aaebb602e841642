"""GGUF files score as their numbers, with the tokens of their source, or are refused by name."""

import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from shards.checkpoint import open_checkpoint, stored_shapes
from shards.checkpoint.fingerprint import whole_fingerprint_of
from shards.checkpoint.hub import find_folder
from shards.engines import load_engine
from shards.engines.base import afresh
from tests import checkpoints
from tests.shards.checkpoint.gguf.writers import KINDS, Change, written
from tests.shards.checkpoint.specs import refusal_of, spec_of

TEXTS = (
    "The capital of France is Paris.",
    "Борщ is a sour soup, 中国的首都 <|im_end|> </s> <mask> <think>",
    "",
)
Tokens = list[list[int]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def xlm_roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.xlm_roberta(tmp_path_factory.mktemp("xlm-roberta"))


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Qwen3 whose rows of yes and no are a part of its embeddings."""
    return checkpoints.qwen3(tmp_path_factory.mktemp("reranker"))


def scored(source: Path) -> tuple[Tokens, list[float]]:
    engine = load_engine(spec_of(source), lambda line: None)
    pairs = engine.tokenizer.tokenize("gravity", TEXTS, instruction="", max_document_tokens=0)
    return [[*pair.token_ids] for pair in pairs], afresh(engine)(pairs)


def _in_floats(source: Path, numbers: dict[str, np.ndarray], folder: Path) -> Path:
    """Return a copy of a checkpoint with other numbers."""
    shutil.copytree(source, folder)
    if "score.weight" in numbers:
        checkpoints.change_config(
            folder,
            architectures=["Qwen3ForSequenceClassification"],
            id2label={"0": "yes", "1": "no"},
        )
    else:
        name = "roberta.embeddings.position_embeddings.weight"
        first = np.zeros((2, numbers[name].shape[1]), np.float32)
        numbers = numbers | {name: np.concatenate([first, numbers[name]])}
    save_file(numbers, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["reranker", "xlm_roberta"])
def test_a_gguf_file_scores_as_its_numbers(
    family: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source = request.getfixturevalue(family)
    path = tmp_path / "model-of-a-reranker.gguf"
    numbers = written(source, path, kind)
    checkpoint = open_checkpoint(spec_of(path), lambda line: None)
    read = checkpoint.reader()
    for name, expected in numbers.items():
        found = read(name).float()[-len(expected) :]
        assert torch.equal(found, torch.from_numpy(expected)), name
    plain = _in_floats(source, numbers, tmp_path / "Qwen3-Reranker-plain")
    assert (
        stored_shapes(checkpoint).keys()
        == stored_shapes(open_checkpoint(spec_of(plain), lambda line: None)).keys()
    )
    tokens, margins = scored(path)
    plain_tokens, plain_margins = scored(plain)
    assert margins == pytest.approx(plain_margins, abs=1e-5)
    assert tokens == plain_tokens == scored(source)[0]


def test_unquantised_files_score_as_their_source(
    reranker: Path, xlm_roberta: Path, tmp_path: Path
) -> None:
    for at, source in enumerate((reranker, xlm_roberta)):
        written(source, path := tmp_path / f"{at}.gguf", "F32")
        assert scored(path)[1] == pytest.approx(scored(source)[1], abs=1e-5)


def test_a_reranker_without_cls_output_scores_by_the_logits_of_its_answers(
    reranker: Path, tmp_path: Path
) -> None:
    def key(writer: gguf.GGUFWriter) -> None:
        writer.kv_data[0].pop("qwen3.pooling_type")

    path = tmp_path / "Qwen3-Reranker-tiny-f32.gguf"
    written(reranker, path, "F32", change=key, without="cls.output")
    assert scored(path)[1] == pytest.approx(scored(reranker)[1], abs=1e-5)


def test_another_prompt_for_ranking_is_used(reranker: Path, tmp_path: Path) -> None:
    def prompt(writer: gguf.GGUFWriter) -> None:
        text = 'Is "this" relevant?\n{query}\n<|im_start|>{document}\n'
        writer.add_chat_template([{"name": "rerank", "template": text}])

    written(reranker, path := tmp_path / "model.gguf", change=prompt)
    engine = load_engine(spec_of(path), lambda line: None)
    (pair,) = engine.tokenizer.tokenize("q?", ["D"], instruction="", max_document_tokens=0)
    backend = checkpoints.chat_tokenizer()
    expected = backend.encode('Is "this" relevant?\nq?\n<|im_start|>D\n').ids
    assert [*pair.token_ids] == expected


def test_a_folder_with_one_file_is_a_source_and_a_tokenizer_beside_it_counts(
    reranker: Path, tmp_path: Path
) -> None:
    def unknown(writer: gguf.GGUFWriter) -> None:
        writer.kv_data[0].pop("tokenizer.ggml.pre")
        writer.add_tokenizer_pre("of-tomorrow")

    folder = tmp_path / "Qwen3-Reranker"
    folder.mkdir()
    written(reranker, folder / "model.Q8_0.gguf", change=unknown)
    assert "'of-tomorrow', and gpt2 (qwen2), t5 (default) are known" in str(refusal_of(folder))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(reranker / name, folder)
    assert scored(folder)[0] == scored(reranker)[0]
    written(reranker, folder / "model.Q4_0.gguf", "Q4_0")
    assert "name one of them as `source` (model.Q4_0.gguf, model.Q8_0.gguf)" in str(
        refusal_of(folder)
    )
    assert scored(folder / "model.Q8_0.gguf")[0] == scored(reranker)[0]


def test_a_file_that_changes_is_another_checkpoint(
    reranker: Path, own_cache: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.gguf"
    written(reranker, path)
    spec = spec_of(path)
    first, whole = (
        open_checkpoint(spec, lambda line: None).fingerprint,
        whole_fingerprint_of(find_folder(spec, lambda line: None), since=1e12),
    )
    assert first == open_checkpoint(spec, lambda line: None).fingerprint
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    assert open_checkpoint(spec, lambda line: None).fingerprint != first
    assert whole_fingerprint_of(find_folder(spec, lambda line: None), since=1e12) != whole
    path.unlink()
    written(reranker, tmp_path / "b.gguf")
    find_folder(spec_of(tmp_path / "b.gguf"), lambda line: None)
    assert len([*(own_cache / "rerank-gateway" / "gguf").iterdir()]) == 1


def test_a_cache_that_cannot_be_written_is_no_hindrance(
    reranker: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written(reranker, path := tmp_path / "a.gguf")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert scored(path)[0] == scored(reranker)[0]


def _keys(**values: object) -> Change:
    """Return a change that replaces keys; `None` removes one."""

    def change(writer: gguf.GGUFWriter) -> None:
        for key, value in values.items():
            name = key.replace("__", ".")
            writer.kv_data[0].pop(name, None)
            if isinstance(value, bool):
                writer.add_bool(name, value)
            elif isinstance(value, int):
                writer.add_uint32(name, value)
            elif isinstance(value, str):
                writer.add_string(name, value)
            elif isinstance(value, list):
                writer.add_array(name, value)

    return change


def _tensor(name: str) -> Change:
    return lambda writer: writer.add_tensor(name, np.ones((2, 64), np.float32))


@pytest.mark.parametrize(
    ("family", "change", "without", "expected"),
    [
        ("reranker", _keys(general__architecture="llama"), "", "'llama', and bert and qwen3 are"),
        ("reranker", _keys(general__architecture="clip"), "", "the vision part of a model alone"),
        ("reranker", _keys(general__type="mmproj"), "", "vision part of a model alone: name"),
        ("reranker", _keys(general__type="adapter"), "", "of the type 'adapter'"),
        ("reranker", None, "cls.output", "it pools for ranking, but has no cls.output.weight"),
        ("reranker", _keys(qwen3__pooling_type=3), "cls.output", "an embedder (no cls.output"),
        ("reranker", _tensor("output.weight"), "", "both cls.output.weight and output.weight"),
        ("reranker", _tensor("blk.0.attn_q.bias"), "", "attn_q.bias is no tensor of a qwen3"),
        ("reranker", _keys(qwen3__rope__scaling__type="yarn"), "", "rope.scaling.type, which may"),
        ("reranker", _keys(qwen3__classifier__output_labels=["a"]), "", "2 rows, and the file nam"),
        ("reranker", _keys(qwen3__block_count=None), "", "it has no block_count"),
        ("reranker", _keys(qwen3__block_count=3), "", "lacks"),
        ("reranker", _keys(qwen3__attention__value_length=8), "", "value_length is 8"),
        ("reranker", _keys(tokenizer__ggml__add_eos_token=True), "", "add_eos_token is true"),
        ("reranker", _keys(tokenizer__ggml__merges=["a b c"]), "", "are not pairs of tokens"),
        ("reranker", _keys(tokenizer__ggml__tokens=["a"]), "", "it has 1 tokens and"),
        ("xlm_roberta", None, "cls.", "it is an embedder (no cls.output.weight)"),
        ("xlm_roberta", _keys(tokenizer__ggml__model="bert"), "", "leaves out the pooler of BERT"),
        ("xlm_roberta", _keys(tokenizer__ggml__model="gpt2"), "", "of these only XLM-RoBERTa"),
        ("xlm_roberta", _keys(bert__attention__causal=True), "", "attention.causal is True"),
    ],
)
def test_what_cannot_be_scored_faithfully_is_refused(
    family: str,
    change: Change | None,
    without: str,
    expected: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    path = tmp_path / "Qwen3-Reranker.gguf"
    written(request.getfixturevalue(family), path, change=change, without=without)
    assert expected in str(refusal_of(path))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda content: content[:-1000], "it was cut"),
        (lambda content: content[:1000], "it ends in its head, after 1000 of 1000 bytes"),
        (lambda content: b"GGML" + content[4:], "does not begin with GGUF"),
        (lambda content: content[:4] + b"\0\0\0\3" + content[8:], "its version is 50331648"),
        (lambda content: content[:8] + b"\xff" * 8 + content[16:], "tensors, and 65536 are"),
        (lambda content: b"", "it does not begin with GGUF"),
    ],
)
def test_a_broken_file_is_refused(
    damage: Callable[[bytes], bytes], expected: str, reranker: Path, tmp_path: Path
) -> None:
    written(reranker, path := tmp_path / "a.gguf")
    path.write_bytes(damage(path.read_bytes()))
    assert expected in str(refusal_of(path))


def test_a_part_of_a_split_file_is_refused(reranker: Path, tmp_path: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    written(reranker, folder / "model-00001-of-00002.gguf")
    (folder / "model-00002-of-00002.gguf").touch()
    for source in (folder, folder / "model-00001-of-00002.gguf"):
        assert "one part of a split GGUF file: join the parts" in str(refusal_of(source))


def test_a_damaged_head_never_raises_anything_but_a_refusal(
    xlm_roberta: Path, tmp_path: Path
) -> None:
    written(xlm_roberta, path := tmp_path / "a.gguf")
    content = path.read_bytes()
    chance = np.random.default_rng(1)
    for _ in range(60):
        broken = bytearray(content)
        for at in chance.integers(4, 6000, 8):
            broken[at] = chance.integers(256)
        path.write_bytes(broken)
        try:
            open_checkpoint(spec_of(path), lambda line: None)
        except Exception as error:
            assert type(error).__name__ == "Refusal", error
