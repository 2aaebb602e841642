"""Each checkpoint gets its prompt, or none; the text of a prompt is that of its source."""

import pytest

from shards.prompts import KNOWN, TEMPLATES, known_for
from tests.shards.engines import reference


@pytest.mark.parametrize(
    ("model_type", "names", "chat_template", "expected"),
    [
        ("qwen3", "Qwen/Qwen3-Reranker-4B", "", "qwen3-reranker"),
        ("qwen3", "anything", "Judge whether the Document meets", "qwen3-reranker"),
        ("qwen2", "mixedbread-ai/mxbai-rerank-base-v2", "", "mxbai-rerank-v2"),
        ("qwen3", "zeroentropy/zerank-1-small", "", "zerank"),
        ("gemma", "BAAI/bge-reranker-v2-gemma", "", "bge-reranker-v2-gemma"),
        ("qwen2", "Qwen3-Reranker", "", None),
        ("qwen3", "my-reranker", "", None),
        ("llama", "anything", "", None),
    ],
)
def test_a_prompt_of_ours_is_found_by_a_sign_or_a_name(
    model_type: str, names: str, chat_template: str, expected: str | None
) -> None:
    found = known_for(model_type, names, chat_template)
    assert (found[0] if found else None) is (KNOWN[expected] if expected else None)


def test_the_text_of_a_prompt_is_that_of_its_source() -> None:
    expected = reference.format_instruction("Find", "q {query}", "d {document}")
    text = TEMPLATES["qwen3-reranker"].text("q {query}", "d {document}", "Find")
    assert text == f"{reference.PREFIX}{expected}{reference.SUFFIX}"


def test_without_an_instruction_its_line_is_left_out() -> None:
    assert "instruction:" not in TEMPLATES["mxbai-rerank-v2"].text("q", "d")
    assert TEMPLATES["ctxl-rerank-v2"].text("q", "d").endswith("<Document> d\n<Query> q ??")
    assert TEMPLATES["ctxl-rerank-v2"].text("q", "d", "i").endswith("<Query> q i ??")


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_prompt_says_whether_an_instruction_reaches_it(name: str) -> None:
    prompt = TEMPLATES[name]
    reaches = prompt.text("q", "d", "find") != prompt.text("q", "d", "search")
    assert prompt.takes_instruction is reaches


def test_markers_are_what_no_ordinary_text_holds() -> None:
    markers = TEMPLATES["qwen3-reranker"].markers
    assert {"<|im_start|>", "<|im_end|>", "<Query>:", "<Document>:", "<Instruct>:"} <= set(markers)
