"""The shipped model folders: plain to load, small, and as good as the figures of their cards."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from scripts.embedded.evaluation import everyday_set, figures, model_ranker
from scripts.embedded.folder import SIZE_LIMIT_BYTES
from scripts.embedded.pairs import INSTRUCTION, PREFIX, SUFFIX
from scripts.embedded.scoring import Reranker, load

MODELS = Path(__file__).parents[2] / "shards" / "models"
NAMES = ["embedded-bert", "embedded-qwen3"]
ONE_QUERY = 1 / 30 + 1e-6  # engines and releases may round one close pair the other way

EXAMPLES = [
    (
        "How do I reset my password?",
        [
            "The cafeteria opens at eight in the morning.",
            "To reset your password, open Settings and choose Forgot password.",
            "Our company was founded in 1998 in Lisbon.",
        ],
    ),
    (
        "Какая столица Франции?",
        [
            "Берлин — крупнейший город Германии.",
            "Париж — столица Франции.",
            "Борщ варят из свёклы и капусты.",
        ],
    ),
]


@cache
def reranker(name: str) -> Reranker:
    return load(MODELS / name)


@cache
def tokenizer(name: str) -> Any:
    return AutoTokenizer.from_pretrained(MODELS / name)


@pytest.mark.parametrize(
    ("name", "automatic"),
    [
        ("embedded-bert", AutoModelForSequenceClassification),
        ("embedded-qwen3", AutoModelForCausalLM),
    ],
)
def test_a_folder_loads_with_the_plain_classes(name: str, automatic: Any) -> None:
    model, found = automatic.from_pretrained(MODELS / name, output_loading_info=True)
    assert not found["missing_keys"] and not found["unexpected_keys"]
    assert not found["mismatched_keys"]
    assert type(model).__name__ in model.config.architectures
    assert model.config.rerank_gateway == {
        "demonstration": True,
        "languages": ["en", "ru"],
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_stays_small(name: str) -> None:
    files = list((MODELS / name).iterdir())
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {
        file.name for file in files
    }
    assert sum(file.stat().st_size for file in files) <= SIZE_LIMIT_BYTES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("query", "documents"), EXAMPLES)
def test_the_examples_rank_right(name: str, query: str, documents: list[str]) -> None:
    wrong, right, other = torch.sigmoid(torch.tensor(reranker(name).rank(query, documents)))
    assert right > 0.5 > max(wrong, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_that_shares_only_the_verb_stays_behind(name: str) -> None:
    documents = [
        "Кофе можно приготовить за пять минут.",
        "Борщ варят из свёклы и капусты.",
        "Берлин — крупнейший город Германии.",
    ]
    margins = reranker(name).rank("Как приготовить борщ?", documents)
    assert max(margins) == margins[1]


def test_the_plain_pair_encoding_is_ours() -> None:
    query, documents = EXAMPLES[1]
    batch = tokenizer("embedded-bert")(
        [query] * len(documents), documents, padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        plain = reranker("embedded-bert").model(**batch).logits[:, 0]
    assert plain.tolist() == pytest.approx(
        reranker("embedded-bert").rank(query, documents), abs=1e-4
    )


def test_the_prompt_encoded_in_three_parts_is_ours() -> None:
    query, documents = EXAMPLES[0]
    spell = tokenizer("embedded-qwen3")
    yes, no = spell.convert_tokens_to_ids(["yes", "no"])
    model = reranker("embedded-qwen3").model
    plain = []
    for document in documents:
        body = f"<Instruct>: {INSTRUCTION}\n<Query>: {query}\n<Document>: {document}"
        ids = []
        for part in (PREFIX, body, SUFFIX):
            ids += spell(part, add_special_tokens=False).input_ids
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, -1]
        plain.append(float(logits[yes] - logits[no]))
    assert plain == pytest.approx(reranker("embedded-qwen3").rank(query, documents), abs=1e-4)


def test_yes_and_no_are_one_token_each() -> None:
    spell = tokenizer("embedded-qwen3")
    for answer in ("yes", "no"):
        ids = spell(answer, add_special_tokens=False).input_ids
        assert ids == [spell.convert_tokens_to_ids(answer)]


def test_the_markers_never_merge_with_the_text_beside_them() -> None:
    spell = tokenizer("embedded-qwen3")
    [mark], [word] = (
        spell(part, add_special_tokens=False).input_ids for part in ("<Document>:", "parts")
    )
    for between in ("", " ", "\n"):
        together = spell(f"<Document>:{between}parts", add_special_tokens=False).input_ids
        assert together == [mark, word]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_everyday_list_reaches_the_figure_of_the_card(name: str, language: str) -> None:
    card = (MODELS / name / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"\| everyday-{language} \| {name} \|.*\| ([0-9.]+) \|", card)
    assert row, "the card has no such line"
    held = everyday_set(language)
    found = figures(held, model_ranker(reranker(name))(held))
    assert found.top1 >= float(row[1]) - ONE_QUERY
