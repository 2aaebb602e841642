"""Folders in the layouts of transformers and sentence-transformers, with tiny random weights.

Each is written as sentence-transformers or the kind's own repository writes it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tests import checkpoints

QWEN3_TEMPLATE = """{%- set instruction = messages | selectattr("role", "eq", "system") \
| map(attribute="content") | first | default("Given a web search query") -%}
{%- set query = messages | selectattr("role", "eq", "query") | map(attribute="content") | first -%}
{%- set document = messages | selectattr("role", "eq", "document") \
| map(attribute="content") | first -%}
<|im_start|>system
Judge whether the Document meets the requirements.<|im_end|>
<|im_start|>user
<Instruct>: {{ instruction }}
<Query>: {{ query }}
<Document>: {{ document }}<|im_end|>
<|im_start|>assistant
<think>

</think>

"""
ZERANK_TEMPLATE = """{% for m in messages %}{% if m.role == 'query' %}<|im_start|>system
{{ m.content }}<|im_end|>
{% elif m.role == 'document' %}<|im_start|>user
{{ m.content }}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
DOCUMENT_FIRST = """Check.
<Document> {{ messages[-1]['content'] }}
<Query> {{ messages[-2]['content'] }}{% if messages[0]['role'] == 'system' %} \
{{ messages[0]['content'] }}{% endif %} ??"""
STRUCTURED = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content[0].text | trim }}<|im_end|>
{% endfor %}"""

_ST = "sentence_transformers"
TRANSFORMER = f"{_ST}.base.modules.transformer.Transformer"
LOGIT_SCORE = f"{_ST}.cross_encoder.modules.logit_score.LogitScore"
POOLING = f"{_ST}.sentence_transformer.modules.pooling.Pooling"
LAYER_NORM = f"{_ST}.sentence_transformer.modules.layer_norm.LayerNorm"
DENSE = f"{_ST}.base.modules.dense.Dense"
NORMALIZE = f"{_ST}.base.modules.normalize.Normalize"
_OUTPUTS = {
    "text-generation": ("logits", "causal_logits"),
    "sequence-classification": ("logits", "scores"),
    "feature-extraction": ("last_hidden_state", "token_embeddings"),
}


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def cross_encoder(
    folder: Path,
    task: str,
    *modules: tuple[str, Mapping[str, Any], Mapping[str, torch.Tensor]],
    template: str = "",
    prompts: Mapping[str, str] | None = None,
    chat: Mapping[str, Any] | None = None,
    message: str = "flat",
) -> Path:
    """Write the files of a CrossEncoder beside a model: modules with their settings and tensors."""
    listed = [{"idx": 0, "name": "0", "path": "", "type": TRANSFORMER}]
    for at, (kind, config, tensors) in enumerate(modules, 1):
        path = f"{at}_{kind.rpartition('.')[2]}"
        listed.append({"idx": at, "name": str(at), "path": path, "type": kind})
        write_json(folder / path / "config.json", config)
        if tensors:
            from safetensors.torch import save_file

            save_file(dict(tensors), folder / path / "model.safetensors")
    write_json(folder / "modules.json", listed)
    method, output = _OUTPUTS[task]
    modality: dict[str, Any] = {"text": {"method": "forward", "method_output_name": method}}
    if template:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        modality["message"] = {**modality["text"], "format": message}
    transformer = {
        "transformer_task": task,
        "modality_config": modality,
        "module_output_name": output,
        "processing_kwargs": {"chat_template": dict(chat or {})},
    }
    write_json(folder / "sentence_bert_config.json", transformer)
    settings = {
        "__version__": {"sentence_transformers": "6.2.0"},
        "activation_fn": "torch.nn.modules.activation.Sigmoid",
        "default_prompt_name": next(iter(prompts), None) if prompts else None,
        "model_type": "CrossEncoder",
        "prompts": dict(prompts or {}),
    }
    write_json(folder / "config_sentence_transformers.json", settings)
    return folder


def logit_score(true: int, false: int | None) -> tuple[str, dict[str, Any], dict[str, Any]]:
    config = {
        "true_token_id": true,
        "false_token_id": false,
        "module_input_name": "causal_logits",
    }
    return LOGIT_SCORE, config, {}


def causal(
    folder: Path, true: int = 10, false: int | None = None, model: str = "qwen3", **settings: Any
) -> Path:
    """Write a decoder with LogitScore files."""
    made = {
        key: settings.pop(key) for key in ("is_causal", "tie_word_embeddings") if key in settings
    }
    checkpoints.decoder(folder, model, **made)
    return cross_encoder(folder, "text-generation", logit_score(true, false), **settings)


def dense(
    inputs: int, outputs: int, activation: str, *, last: bool = False, **more: Any
) -> tuple[str, dict[str, Any], dict[str, torch.Tensor]]:
    torch.manual_seed(inputs + outputs)
    where = "linear" if activation == "Identity" else "activation"
    config = {
        "in_features": inputs,
        "out_features": outputs,
        "bias": True,
        "activation_function": f"torch.nn.modules.{where}.{activation}",
        "module_input_name": "sentence_embedding",
        "module_output_name": "scores" if last else "sentence_embedding",
        **more,
    }
    tensors = {"linear.weight": torch.randn(outputs, inputs), "linear.bias": torch.randn(outputs)}
    return DENSE, config, tensors


def pooling(mode: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return POOLING, {"embedding_dimension": 64, "pooling_mode": mode, "include_prompt": True}, {}


def layer_norm() -> tuple[str, dict[str, Any], dict[str, torch.Tensor]]:
    torch.manual_seed(5)
    tensors = {"norm.weight": torch.rand(64) + 0.5, "norm.bias": torch.randn(64)}
    return LAYER_NORM, {"dimension": 64}, tensors


def modular(folder: Path, mode: str = "mean", make: str = "modernbert", **settings: Any) -> Path:
    """Write a body with pooling and modules, as the ettin rerankers are."""
    getattr(checkpoints, make)(folder)
    without_head(folder)
    modules = (
        pooling(mode),
        dense(64, 64, "GELU"),
        layer_norm(),
        dense(64, 1, "Identity", last=True),
    )
    return cross_encoder(folder, "feature-extraction", *modules, **settings)


def bi_encoder(
    folder: Path,
    make: str = "bert",
    mode: str = "mean",
    *modules: tuple[str, Mapping[str, Any], Mapping[str, torch.Tensor]],
    prompts: Mapping[str, str] | None = None,
    similarity: str | None = "cosine",
    longest: int | None = None,
) -> Path:
    """Write a SentenceTransformer: a body, a pooling, and these modules."""
    getattr(checkpoints, make)(folder)
    without_head(folder)
    cross_encoder(folder, "feature-extraction", pooling(mode), *modules)
    if longest:
        transformer = {"max_seq_length": longest, "do_lower_case": False}
        write_json(folder / "sentence_bert_config.json", transformer)
    settings = {
        "__version__": {"sentence_transformers": "6.2.0"},
        "default_prompt_name": None,
        "model_type": "SentenceTransformer",
        "prompts": {"query": "", "document": "", **(prompts or {})},
        "similarity_fn_name": similarity,
    }
    write_json(folder / "config_sentence_transformers.json", settings)
    return folder


def normalize() -> tuple[str, dict[str, Any], dict[str, Any]]:
    names = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
    return NORMALIZE, names, {}


def without_head(folder: Path) -> None:
    """Turn a classifier into a body, as AutoModel saves it."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    prefixes = ("model.", "bert.", "roberta.")
    body = {}
    for name, tensor in load_file(path).items():
        if prefix := next(filter(name.startswith, prefixes), ""):
            body[name.removeprefix(prefix)] = tensor
    save_file(body, path, metadata={"format": "pt"})
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    name = architecture.replace("ForSequenceClassification", "Model")
    checkpoints.change_config(folder, architectures=[name])


def plain_pair(folder: Path, model: str, labels: tuple[str, ...] = ("LABEL_0",)) -> Path:
    """Write a decoder with a row for each label, and no word of a prompt."""
    checkpoints.seq_cls(folder, model, labels=len(labels))
    padding = checkpoints.chat_tokenizer().token_to_id("<|endoftext|>")
    checkpoints.change_config(folder, id2label=dict(enumerate(labels)), pad_token_id=padding)
    checkpoints.write_tokenizer(
        folder,
        checkpoints.chat_tokenizer(),
        tokenizer_class="Qwen2Tokenizer" if model.startswith("qwen") else "PreTrainedTokenizerFast",
        unk_token=None,
        pad_token="<|endoftext|>",
    )
    return folder
