"""Checkpoints that are not served are refused in one sentence, with what would serve instead."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shards.checkpoint import open_checkpoint, read_recipe
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from tests import checkpoints
from tests.shards.checkpoint import hub_layouts, own_layouts
from tests.shards.checkpoint.specs import copy_of, refusal_of, spec_of


def reading_refused(folder: Path) -> Refusal:
    """Return the refusal of a reading, which reads no weight."""
    with pytest.raises(Refusal) as refusal:
        read_recipe(open_checkpoint(spec_of(folder), lambda line: None), spec_of(folder))
    return refusal.value


@pytest.mark.parametrize(
    ("architecture", "model_type", "more", "said"),
    [
        ("JinaForRanking", "qwen3", {}, "listwise"),
        ("Qwen3VLForConditionalGeneration", "qwen3_vl", {"vision_config": {"a": 1}}, "images"),
        ("JinaVLForRanking", "qwen2_vl", {"vision_config": {"a": 1}}, "images"),
        ("T5ForConditionalGeneration", "t5", {"is_encoder_decoder": True}, "sequence-to-sequence"),
        ("LayerWiseMiniCPMForCausalLM", "minicpm", {"start_layer": 8}, "each of many layers"),
        ("CostWiseGemmaForCausalLM", "cost_wise_gemma", {"start_layer": 8}, "each of many layers"),
        ("BertForMaskedLM", "bert", {}, "masked language model"),
        ("XLMRobertaModel", "xlm-roberta", {}, "embedder or a bare body"),
        ("ColBERT", "bert", {}, "late-interaction"),
        ("BertForTokenClassification", "bert", {}, "another task"),
    ],
)
def test_a_kind_is_named(
    architecture: str, model_type: str, more: dict[str, Any], said: str, bert: Path, tmp_path: Path
) -> None:
    folder = copy_of(bert, tmp_path)
    config = {"architectures": [architecture], "model_type": model_type, **more}
    (folder / "config.json").write_text(json.dumps(config))
    refusal = reading_refused(folder)
    assert said in str(refusal)
    assert "use a reranker of pairs, for example" in str(refusal)
    assert "no reranker" not in str(refusal)
    assert refusal.exit_code is ExitCode.MODEL


@pytest.mark.parametrize(
    "dense", ["pylate.models.Dense.Dense", "sentence_transformers.models.Dense"]
)
@pytest.mark.parametrize("scorer", ["auto", "cosine"])
def test_the_folder_of_a_late_interaction_model_is_refused(
    dense: str, scorer: str, bert: Path, tmp_path: Path
) -> None:
    """PyLate's folders have the class of a plain body, and modules beside it."""
    folder = copy_of(bert, tmp_path)
    checkpoints.change_config(folder, architectures=["BertModel"])
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": dense},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    settings = {
        "model_type": "ColBERT",
        "similarity_fn_name": "MaxSim",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "do_query_expansion": True,
    }
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    refusal = str(refusal_of(folder, scorer=scorer))
    assert dense in refusal or "ColBERT" in refusal or "do_query_expansion" in refusal


@pytest.mark.parametrize("lost", ["classifier", "score", "lm_head"])
def test_a_head_that_was_lost_is_refused(lost: str, tmp_path: Path) -> None:
    make: dict[str, Callable[[Path], Path]] = {
        "classifier": checkpoints.bert,
        "score": checkpoints.qwen3_seq_cls,
        "lm_head": lambda folder: checkpoints.qwen3(folder, tied=False),
    }
    folder = make[lost](tmp_path)
    checkpoints.change_tensors(folder, {}, without=lost)
    assert "stores no head" in str(reading_refused(folder))


def _deep(folder: Path, name: str) -> None:
    (folder / name).write_text("[" * 5000 + "]" * 5000)


def _changed(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        checkpoints.change_config(folder, **changes)

    return change


def _header(content: bytes) -> Any:
    def change(folder: Path) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(struct.pack("<Q", len(content)) + content)

    return change


_BROKEN = {
    "deep config": lambda folder: _deep(folder, "config.json"),
    "deep modules": lambda folder: _deep(folder, "modules.json"),
    "deep tokenizer config": lambda folder: _deep(folder, "tokenizer_config.json"),
    "deep tokenizer": lambda folder: _deep(folder, "tokenizer.json"),
    "deep header": _header(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "negative shape": _header(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}'),
    "architectures a number": _changed(architectures=7),
    "architectures a text": _changed(architectures="BertForSequenceClassification"),
    "a billion layers": _changed(num_hidden_layers=10**9),
    "no layers": _changed(num_hidden_layers=0),
    "negative layers": _changed(num_hidden_layers=-1),
    "no heads": _changed(num_attention_heads=0),
    "a huge vocabulary": _changed(vocab_size=10**12),
    "a huge width": _changed(hidden_size=10**9),
    "a text for a width": _changed(hidden_size="64"),
    "labels that are a list": _changed(id2label=[1]),
    "labels from five on": _changed(id2label={"5": "a"}),
    "a rope that is a list": _changed(rope_parameters=[1]),
    "no JSON": lambda folder: (folder / "config.json").write_text("{"),
    "no UTF-8": lambda folder: (folder / "config.json").write_bytes(b'{"a": "\xff"}'),
    "a template that is no UTF-8": lambda folder: (folder / "chat_template.jinja").write_bytes(
        b"\xff\xfe{{"
    ),
    "an endless template": lambda folder: (folder / "chat_template.jinja").write_text(
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    ),
    "no tokenizer": lambda folder: [
        (folder / name).unlink() for name in ("tokenizer.json", "tokenizer_config.json")
    ],
}


@pytest.mark.parametrize("how", _BROKEN)
def test_a_broken_file_ends_in_one_refusal(how: str, bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    _BROKEN[how](folder)
    refusal = refusal_of(folder)
    assert refusal.exit_code is ExitCode.MODEL
    assert len(str(refusal)) < 1000


@pytest.mark.parametrize("limit", [0, -1, "512", True])
def test_a_limit_that_is_no_number_of_tokens_is_named(
    limit: object, bert: Path, tmp_path: Path
) -> None:
    folder = copy_of(bert, tmp_path)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": limit}))
    assert f"model_max_length is {str(limit)!r}" in str(refusal_of(folder))


def test_padding_that_texts_may_hold_is_refused_where_it_has_no_position(tmp_path: Path) -> None:
    folder = checkpoints.xlm_roberta(tmp_path)
    checkpoints.change_config(folder, pad_token_id=3)
    assert "pad_token_id is 3 in its config.json, which is '<unk>'" in str(refusal_of(folder))


def test_a_config_without_a_type_is_refused(tmp_path: Path) -> None:
    folder = own_layouts.nemotron(tmp_path)
    checkpoints.change_config(folder, model_type=None)
    assert "has no model_type" in str(reading_refused(folder))


def test_an_adapter_beside_a_model_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    assert "its adapter is not put into the model" in str(reading_refused(folder))
    (folder / "config.json").unlink()
    assert "it is an adapter, merge it" in str(reading_refused(folder))


def test_an_unknown_key_is_named(bert: Path, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    checkpoints.change_config(folder, attention_trick="on", use_cache=False, unsloth_version="1")
    refusal = str(reading_refused(folder))
    assert f"{folder / 'config.json'} has attention_trick, which may change scores" in refusal


def test_an_unknown_module_is_named(tmp_path: Path) -> None:
    folder = hub_layouts.modular(tmp_path)
    listed = json.loads((folder / "modules.json").read_text())
    listed[2]["type"] = "sentence_transformers.models.Mystery"
    (folder / "modules.json").write_text(json.dumps(listed))
    assert "lists the module Mystery" in str(reading_refused(folder))
    listed[2]["type"] = "their_code.Module"
    (folder / "modules.json").write_text(json.dumps(listed))
    assert "code of its own, which is never run" in str(reading_refused(folder))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for m in messages %}{{ m.content[:9] }}{% endfor %}", "looks at a text"),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "looks at a text"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}{{ strftime_now('%d') }}", "date"),
        ("{% for m in messages %}{% if m.role == 'user' %}x{% endif %}{% endfor %}", "reach"),
        ("{{ messages", "no Jinja"),
    ],
)
def test_a_template_that_cannot_be_split_is_refused(
    template: str, said: str, tmp_path: Path
) -> None:
    folder = hub_layouts.causal(tmp_path, 10, 20, template=template)
    assert said in str(reading_refused(folder))
