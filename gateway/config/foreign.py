"""Settings of other rerank servers, and the key of ours for each. Pure.

`SERVERS` has the options of TEI (text-embeddings-inference), infinity, vLLM and MOSEC, by their
names on the command line. Their variables follow from these names.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

DTYPES = {
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "float32": "fp32",
    "float": "fp32",
    "int8": "int8",
    "auto": "auto",
}
LEVELS = {"trace": "debug", "critical": "error", "fatal": "error", "warn": "warning"}


def number(value: str) -> int:
    """Return a whole number, which may be written as `32k` is by vLLM."""
    text = value.strip().lower().replace("_", "")
    factor = {"k": 1000, "m": 1_000_000}.get(text[-1:], 1)
    return int(text[:-1] if factor > 1 else text) * factor


def seconds(value: str) -> float:
    """Return milliseconds as seconds."""
    return int(value) / 1000


def log_level(value: str) -> str:
    """Return a name of a level that the gateway has."""
    return LEVELS.get(value.lower(), value.lower())


def dtype(value: str) -> str:
    """Return our name of a number format."""
    return DTYPES[value.lower()]


def cuda_device(value: str) -> list[str]:
    """Return CUDA devices by their numbers."""
    return [f"cuda:{int(part)}" for part in value.split(",")]


def device(value: str) -> list[str]:
    """Return a device as a list."""
    return [value.lower()]


@dataclass(frozen=True, slots=True)
class Meaning:
    """The counterpart of an option.

    Attributes:
        key: our key, with `model.` before one of a model; empty for none.
        convert: returns our value for a text.
        remark: the difference, or what to do instead.
        is_flag: whether the option has no value.
        value: our value of a flag.
    """

    key: str = ""
    convert: Callable[[str], Any] = str
    remark: str = ""
    is_flag: bool = False
    value: Any = True


def none(remark: str, *, is_flag: bool = False) -> Meaning:
    """Return the meaning of an option without a counterpart."""
    return Meaning(remark=remark, is_flag=is_flag)


@dataclass(frozen=True, slots=True)
class Server:
    """A server whose configuration can be read.

    Attributes:
        title: its name for people.
        programs: words of its command line, by which it is recognised.
        prefix: the start of its variables.
        options: meanings by the long name of the option.
        short: long names by the letter.
        defaults: its address where none is given.
        variables: variables that are named otherwise than their option.
    """

    title: str
    programs: tuple[str, ...]
    prefix: str
    options: Mapping[str, Meaning]
    defaults: Mapping[str, Any]
    short: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def option_of(self, variable: str) -> str | None:
        """Return the option that a variable sets; None for no variable of this server."""
        if variable in self.variables:
            return self.variables[variable]
        name = variable.removeprefix(self.prefix).lower().replace("_", "-")
        has_prefix = variable.startswith(self.prefix) and name in self.options
        return name if has_prefix and variable not in _NOT_SETTINGS else None


_NOT_SETTINGS = frozenset({"HOSTNAME"})
"""Options of TEI whose variables every container has."""

KEYS = "API keys are in a file: `gateway key new NAME --keys-file keys.toml` makes one"
HUB_TOKEN = "HF_TOKEN is read from the environment"
BATCHES = "batches are bounded in tokens: token_budget"
ADMISSION = "admission counts tokens and time, not requests: limits.queue_tokens"
WORKERS = "tokenisation has threads of its own"
EMBEDDINGS = "of embeddings only"
NO_REMOTE_CODE = "code of a checkpoint is never run"
MEASURED = "needs no setting"

TEI = Server(
    title="TEI",
    programs=("text-embeddings-router", "text-embeddings-inference"),
    prefix="",
    defaults={"host": "0.0.0.0", "port": 3000},
    short={"p": "port"},
    options={
        "model-id": Meaning("model.source"),
        "revision": Meaning("model.revision"),
        "served-model-name": Meaning("model.name"),
        "dtype": Meaning("model.dtype", dtype),
        "max-batch-tokens": Meaning("model.token_budget", number),
        "max-client-batch-size": Meaning("limits.documents", number),
        "payload-limit": Meaning("limits.body_bytes", number),
        "auto-truncate": Meaning("model.long_documents", is_flag=True, value="truncate"),
        "default-prompt": Meaning("model.instruction"),
        "device-id": Meaning("model.devices", cuda_device),
        "hostname": Meaning("host"),
        "port": Meaning("port", number),
        "api-key": Meaning("keys_file", lambda _: "keys.toml", KEYS),
        "json-output": Meaning("log_format", is_flag=True, value="json"),
        "cors-allow-origin": Meaning("cors_origins", lambda text: text.split(",")),
        "otlp-endpoint": Meaning(
            "tracing", lambda _: True, "set OTEL_EXPORTER_OTLP_ENDPOINT in the environment"
        ),
        "otlp-service-name": none("set OTEL_SERVICE_NAME in the environment"),
        "prometheus-port": none("/metrics is on the port of the gateway"),
        "hf-token": none(HUB_TOKEN),
        "hf-api-token": none(HUB_TOKEN),
        "huggingface-hub-cache": none("set HF_HUB_CACHE in the environment"),
        "max-concurrent-requests": none(ADMISSION),
        "max-batch-requests": none(BATCHES),
        "tokenization-workers": none(WORKERS),
        "pooling": none(EMBEDDINGS),
        "default-prompt-name": none("instruction = ... has the text itself"),
        "dense-path": none(EMBEDDINGS),
        "uds-path": none(MEASURED),
        "disable-spans": none(MEASURED, is_flag=True),
    },
)

INFINITY = Server(
    title="infinity",
    programs=("infinity_emb", "michaelf34/infinity", "infinity"),
    prefix="INFINITY_",
    defaults={"host": "0.0.0.0", "port": 7997},
    options={
        "model-id": Meaning("model.source"),
        "served-model-name": Meaning("model.name"),
        "revision": Meaning("model.revision"),
        "dtype": Meaning("model.dtype", dtype),
        "device": Meaning("model.devices", device),
        "device-id": Meaning("model.devices", cuda_device),
        "host": Meaning("host"),
        "port": Meaning("port", number),
        "log-level": Meaning("log_level", log_level),
        "api-key": Meaning("keys_file", lambda _: "keys.toml", KEYS),
        "permissive-cors": Meaning("cors_origins", is_flag=True, value=["*"]),
        "no-permissive-cors": none(MEASURED, is_flag=True),
        "batch-size": none(BATCHES),
        "engine": none("the engine follows from the checkpoint; engine = ... forces one"),
        "url-prefix": none("the paths of every API are fixed; a proxy may add a prefix"),
        "proxy-root-path": none("a proxy may add a prefix without being named here"),
        "redirect-slash": none("/ is the page of the gateway"),
        "trust-remote-code": none(NO_REMOTE_CODE, is_flag=True),
        "no-trust-remote-code": none(NO_REMOTE_CODE, is_flag=True),
        "model-warmup": none("a shard always scores before it serves", is_flag=True),
        "no-model-warmup": none("a shard always scores before it serves", is_flag=True),
        "vector-disk-cache": none("the score cache: score_cache_path", is_flag=True),
        "no-vector-disk-cache": none(MEASURED, is_flag=True),
        "lengths-via-tokenize": none(MEASURED, is_flag=True),
        "no-lengths-via-tokenize": none(MEASURED, is_flag=True),
        "compile": none(MEASURED, is_flag=True),
        "no-compile": none(MEASURED, is_flag=True),
        "bettertransformer": none(MEASURED, is_flag=True),
        "no-bettertransformer": none(MEASURED, is_flag=True),
        "preload-only": none("`gateway download` fetches a model", is_flag=True),
        "no-preload-only": none(MEASURED, is_flag=True),
        "embedding-dtype": none(EMBEDDINGS),
        "pooling-method": none(EMBEDDINGS),
    },
)

VLLM = Server(
    title="vLLM",
    programs=("vllm", "vllm.entrypoints.openai.api_server", "vllm/vllm-openai"),
    prefix="VLLM_",
    defaults={"host": "0.0.0.0", "port": 8000},
    variables={"VLLM_LOGGING_LEVEL": "uvicorn-log-level"},
    options={
        "model": Meaning("model.source"),
        "served-model-name": Meaning("model.name"),
        "revision": Meaning("model.revision"),
        "dtype": Meaning("model.dtype", dtype),
        "max-model-len": Meaning("model.max_length", number),
        "max-num-batched-tokens": Meaning("model.token_budget", number),
        "data-parallel-size": Meaning("model.replicas", number),
        "host": Meaning("host"),
        "port": Meaning("port", number),
        "uvicorn-log-level": Meaning("log_level", log_level),
        "api-key": Meaning("keys_file", lambda _: "keys.toml", KEYS),
        "ssl-certfile": Meaning("tls.certificate"),
        "ssl-keyfile": Meaning("tls.key"),
        "task": none("every model here scores pairs"),
        "runner": none("every model here scores pairs"),
        "convert": none("every model here scores pairs"),
        "hf-overrides": none("how a checkpoint scores follows from its files; see `template`"),
        "chat-template": none("prompts are built in: `template` names one"),
        "tensor-parallel-size": none("a shard has one device; `replicas` copies the model"),
        "pipeline-parallel-size": none("a shard has one device; `replicas` copies the model"),
        "gpu-memory-utilization": none("memory is taken as it is needed"),
        "max-num-seqs": none(BATCHES),
        "download-dir": none("set HF_HUB_CACHE in the environment"),
        "trust-remote-code": none(NO_REMOTE_CODE, is_flag=True),
        "enforce-eager": none(MEASURED, is_flag=True),
        "disable-log-requests": none("log_level = ... decides it", is_flag=True),
        "no-enable-prefix-caching": none("prefix_cache_mb = 0", is_flag=True),
        "enable-prefix-caching": none("prefixes are always cached", is_flag=True),
    },
)

MOSEC = Server(
    title="MOSEC",
    programs=("mosec",),
    prefix="MOSEC_",
    defaults={"host": "0.0.0.0", "port": 8000},
    options={
        "address": Meaning("host"),
        "port": Meaning("port", number),
        "timeout": Meaning("default_timeout_seconds", seconds),
        "log-level": Meaning("log_level", log_level),
        "debug": Meaning("log_level", is_flag=True, value="debug"),
        "capacity": none(ADMISSION),
        "namespace": none("metrics begin with reranker_"),
        "path": none(MEASURED),
        "wait": none("a batch never waits for more"),
        "dry-run": none("`gateway check` does that", is_flag=True),
    },
)

SERVERS = {"tei": TEI, "infinity": INFINITY, "vllm": VLLM, "mosec": MOSEC}

PLAIN = {
    "PORT": "port",
    "HOST": "host",
    "LOG_LEVEL": "log_level",
    "MODEL": "model.source",
    "MODEL_ID": "model.source",
    "MODEL_NAME": "model.source",
    "MODEL_PATH": "model.source",
    "DEVICE": "model.devices",
    "DTYPE": "model.dtype",
    "MAX_LENGTH": "model.max_length",
    "THREADS": "model.threads",
    "NUM_THREADS": "model.threads",
    "WORKERS": "model.replicas",
    "BATCH_SIZE": "model.token_budget",
    "TIMEOUT": "default_timeout_seconds",
    "API_KEY": "keys_file",
}
"""Our keys by variables of no server in particular, and by the rest of those with a prefix."""

PREFIXES = ("RERANKER_", "CMW_")
ALONE = ("PORT", "HOST", "LOG_LEVEL", "MODEL_ID")
"""Variables without a prefix that are looked at: others belong to other programs too often."""

_OF_KUBERNETES = ("_SERVICE_HOST", "_SERVICE_PORT", "_TCP_ADDR", "_TCP_PORT", "_TCP_PROTO")


def foreign_variables(environ: Mapping[str, str]) -> str:
    """Return one line with our key for each variable of another server; empty for none.

    Kubernetes sets such variables for every Service called reranker; they are left out, and so is
    one whose key is set by a variable of ours. Values are not shown: some are secrets.
    """
    found = [
        f"{name} ({_ours(key)})"
        for name, key in _keys(environ)
        if not key or f"GATEWAY_{key.replace('.', '__').upper()}" not in environ
    ]
    if not found:
        return ""
    return (
        f"variables of other servers have no effect; ours are in brackets: {', '.join(found)}. "
        "`gateway migrate` writes a configuration from them"
    )


def _ours(key: str) -> str:
    if not key:
        return "none"
    if key.startswith("model."):
        return f"{key.removeprefix('model.')} of a model"
    return f"GATEWAY_{key.replace('.', '__').upper()}"


def _keys(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the foreign variables, each with our key; an empty one for none."""
    is_tei = "MODEL_ID" in environ
    for name in sorted(environ):
        prefix = next((each for each in PREFIXES if name.startswith(each)), "")
        if ("://" in environ[name] and name.endswith("_PORT")) or _is_of_kubernetes(name):
            continue
        if prefix:
            yield name, PLAIN.get(name.removeprefix(prefix), "")
            continue
        if name in ALONE:
            yield name, PLAIN[name]
            continue
        for server in SERVERS.values():
            option = server.option_of(name) if server.prefix or is_tei else None
            if option and (server.options[option].key or server.prefix):
                yield name, server.options[option].key


def _is_of_kubernetes(name: str) -> bool:
    return name.endswith(_OF_KUBERNETES) or "_PORT_" in name
