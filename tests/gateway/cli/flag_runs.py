"""Runs of commands that use every flag, each with the sign by which it can be seen.

Words in braces are places of `Site`. A scenario is a list of runs, in this order; the runs of one
may need what an earlier one made.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.cli.score.client_apis import CLIENT_APIS


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command.

    Attributes:
        line: its arguments.
        shows: a regular expression that its output matches.
        code: its exit code; `None` where that depends on the machine.
        is_process: whether it is a process, with the environment `Site.environ`.
        is_interrupted: whether it goes on until Ctrl-C, which is sent once it has shown that.
    """

    line: str
    shows: str = ""
    code: int | None = 0
    is_process: bool = False
    is_interrupted: bool = False


_FAKE = "--dtype fp32 --device cpu:0 --replicas 1 --threads 1 --canary numeric --engine fake"
_LOCAL = f"{_FAKE} --instruction find --long-documents passages --max-passages 2"
_REMOTE = "--url {url} --api-key {key}"
_ASKED = f"{_REMOTE} --dialect jina --instruction find --long-documents passages --max-passages 2"
NEED_A_PREFIX = {"sglang": "/sglang", "weaviate": "/weaviate", "google": "/google"}
"""Parts of the gateway's URL, by dialect, for APIs whose paths are those of another one."""

_ON_CPU = "--device cpu --replicas 1 --threads 1"


def _at(dialect: str) -> str:
    return f"{{url}}{NEED_A_PREFIX.get(dialect, '')}"


SERVE = (
    "serve --config {config} --host 127.0.0.1 --port 0 --keys-file {keys} --model demo=fake "
    "--model spare=fake --dtype fp32 --device cpu:0 --replicas 2 --threads 1 --canary numeric "
    "--engine fake --default-model demo --offline --log-level debug --log-format json"
)
"""The gateway that other runs ask."""

SERVES = (
    "serve --env-file {environ} --port 0 --model demo=fake --engine fake",
    "serve --config {own} --port 0 --model own=embedded:bert --canary own --device cpu "
    "--threads 1 --log-level info --log-format console",
    "serve --port 0 --model demo=fake --engine fake --canary full --device auto --dtype auto "
    "--log-format auto",
)
"""Gateways that only have to become ready."""

ADMIN_KEY = "key new site --admin --keys-file {keys}"
"""The run that makes the key of the other ones."""

SCENARIOS: Mapping[str, tuple[Run, ...]] = {
    "serve": (
        Run("serve --port {port} --model demo=fake --engine fake --log-level error", "in use", 69),
        Run("serve --port {port} --model demo=fake --engine fake --log-level warning", "use", 69),
    ),
    "in the background": (
        Run(
            "serve --detach --port {port} --model demo=fake --engine fake",
            "in use",
            69,
            is_process=True,
        ),
        Run("stop --port {port} --timeout 9", "no gateway runs", 2, is_process=True),
        Run("logs --port {port} --follow --lines 9 2", "unexpected", 2, is_process=True),
    ),
    "status": (
        Run(f"status {_REMOTE} --json", '"spare"'),
        Run(f"status {_REMOTE} --watch 0.1", "ready: ", is_interrupted=True),
    ),
    "reload and drain": (
        Run(f"reload spare {_REMOTE} --wait", "in effect"),
        Run(f"reload {_REMOTE} --remove", "in effect"),
        Run(f"reload {_REMOTE} --no-wait", "has begun"),
        Run(f"drain spare {_REMOTE} --no-wait", "is draining"),
        Run(f"drain spare {_REMOTE} --wait", "is drained"),
    ),
    "load and unload": (
        Run(f"unload demo {_REMOTE} --wait", "is unloaded"),
        Run(f"unload demo {_REMOTE} --json", '"state": ?"idle"'),
        Run(f"unload demo {_REMOTE} --no-wait", "is being unloaded"),
        Run(f"load demo {_REMOTE} --no-wait", "is being loaded"),
        Run(f"load demo {_REMOTE} --wait --json", '"state": ?"ready"'),
    ),
    "cache": (
        Run(f"cache scores {_REMOTE}", "score"),
        Run(f"cache scores {_REMOTE} --clear --json", '"entries":0'),
    ),
    "key": (
        Run(
            "key new probe --expires 90d --models demo --rate 1000 --concurrency 9 --weight 2 "
            "--no-score-cache --keys-file {spare} --json",
            '"secret"|rk_',
        ),
        Run("key new second --admin --config {config} --json", "rk_"),
        Run("key list --keys-file {spare} --json", '"weight": ?2'),
        Run("key list --config {config}", "second"),
        Run("key revoke probe --keys-file {spare} --json", "probe"),
        Run("key revoke second --config {config}", "second"),
    ),
    "check": (Run("check {config} --json", '"own"|\\{'),),
    "rerank": (
        Run(
            f"rerank -q one -d two {{text}} --model m=fake {_LOCAL} --details --top-n 1 "
            "--format json",
            '"margin"',
        ),
        Run("rerank -q one -d two --model m=fake --engine fake --json", '"relevance_score"'),
        Run(
            f"rerank {{run}} --queries {{queries}} --corpus {{corpus}} {_ASKED} --model demo "
            "--format trec",
            "^q1 Q0 d",
        ),
        Run(f"rerank {{data}} {_REMOTE} --format table --long-documents truncate", "relevance"),
        Run(f"rerank {{data}} {_REMOTE} --format jsonl --long-documents error", '"results"'),
        Run(
            f"rerank {{data}} {_REMOTE} --output {{folder}}/rows.jsonl --concurrency 2 --strict "
            "--retry-for 1"
        ),
        Run(f"rerank {{data}} {_REMOTE} --output {{folder}}/rows.jsonl --concurrency 2 --resume"),
        *(
            Run(
                f"rerank -q one -d two --url {_at(name)} --api-key {{key}} --dialect {name}",
                '"relevance_score"',
            )
            for name in CLIENT_APIS
        ),
    ),
    "rerank by engine": (
        Run(f"rerank -q one -d two --model embedded-qwen3 --engine causal --dtype fp32 {_ON_CPU}"),
        Run(f"rerank -q one -d two --model embedded:bert --engine classifier {_ON_CPU}"),
        Run(f"rerank -q one -d two --model embedded:bert --engine auto --dtype bf16 {_ON_CPU}"),
        Run(f"rerank -q one -d two --model embedded:bert --dtype int8 {_ON_CPU}"),
        Run(
            "rerank -q a -d b --model embedded:bert --dtype fp16 --device cpu", "^error: .*fp16", 1
        ),
        Run(
            "rerank -q one -d two --model embedded:bert --device mps --device cuda:0 --device cuda",
            "is absent|score",
            None,
        ),
    ),
    "bench": (
        Run(
            "bench {url} --workload short3 --clients 2 --requests 2 --seconds 5 --model demo "
            "--seed 3 --key {key} --json --plot {folder}/bench.svg",
            "short3",
        ),
        Run(
            "bench --url {url} --file {data} --rate 20 --seconds 0.3 --key {key}",
            "p50|median|latency",
        ),
        Run(
            "bench {url} --workload rag20 --workload rag100 --workload repeat --workload mixed "
            "--requests 1 --clients 1 --key {key}",
            "rag100",
        ),
    ),
    "eval": (
        Run(
            f"eval demo --data {{folder}} --split dev --top-k 3 --recall 5 --stem english "
            f"--limit 1 --seed 2 {_ASKED} --json",
            "recall@5",
        ),
        Run(
            "eval m=fake --queries {queries} --corpus {corpus} --qrels {qrels} --run {run} "
            f"{_LOCAL}",
            "nDCG@10",
        ),
        Run(f"eval m=fake --candidates {{data}} {_LOCAL}", "nDCG@10"),
        Run(
            f"eval m=fake --first n=fake --candidates {{data}} --plot {{folder}}/keep.svg {_LOCAL}",
            "Cascade with n=fake first",
        ),
    ),
    "compare": (
        Run(
            f"compare m=fake n=fake --data {{data}} {_LOCAL} --dtype-b fp32 --engine-b fake --at 2 "
            "--json --plot {folder}/agree.svg",
            "overlap",
        ),
        Run(
            "compare m=fake n=fake --engine fake --split dev --top-k 2 --queries {queries} "
            "--corpus {corpus} --qrels {qrels} --run {run}",
            "questions, documents +. 2, 3",
        ),
        *(
            Run(
                f"compare demo demo --data {{data}} {_ASKED} --url-b {_at(name)} "
                f"--dialect-b {name}",
                "largest difference +.0.0000",
            )
            for name in CLIENT_APIS
        ),
    ),
    "calibrate": (
        Run(
            f"calibrate {{labelled}} --model m=fake {_LOCAL} --output {{folder}}/one.toml "
            "--relevant-from 1 --temperature --json --plot {folder}/diagram.svg",
            '"slope"',
        ),
        Run(f"calibrate {{labelled}} --model demo {_ASKED} --dry-run", "dry|not|slope"),
        Run(
            "calibrate {labelled} --split dev --top-k 2 --queries {queries} "
            "--corpus {corpus} --qrels {qrels} --run {run} --model m=fake --engine fake --dry-run",
            "pairs, relevant +. 60",
        ),
        Run("calibrate {labelled} --model plain --config {config} --dry-run --json", '"slope"'),
    ),
    "models": (Run("models demo --json", "no known model", 1), Run("models --json", '"served"')),
    "download and pack": (
        Run(
            "download org/good --revision main --cache-dir {cache} --json",
            '"folder"',
            is_process=True,
        ),
        Run(
            "pack m={bert} org/good --revision main --output {folder}/bundle.tar --json",
            '"org/good"|"good"',
            is_process=True,
        ),
        Run("unpack {folder}/bundle.tar --check --json", "good"),
        Run("unpack {folder}/bundle.tar --to {folder}/to --max-bytes 9", "9", 1),
        Run("unpack {folder}/bundle.tar --to {folder}/to --max-bytes 9000000 --json", "good"),
        Run("unpack {folder}/bundle.tar --to {folder}/to --replace", "good"),
        Run("convert org/good --revision main --dtype fp32", "", 1, is_process=True),
    ),
    "verify": (
        Run(
            f"verify embedded:bert --dtype fp32 {_ON_CPU} --canary full --engine classifier "
            "--pairs 2 --json",
            '"agreement"',
        ),
        Run("verify plain --config {config} --pairs 0", "canaries"),
        Run("verify plain --config {config} --pairs 0 --unquantised org/x", "needs --pairs", 2),
        Run("verify {url} --model demo --dialect tei --api-key {key}", "canaries", 1),
        Run("verify demo --url {url} --key {key}", "canaries", 1),
    ),
    "convert": (
        Run(
            "convert {bert} --format openvino --dtype int8 --calibration {data} --anyway --json",
            '"int8"',
        ),
        Run("convert {bert} --dtype bf16", "bf16"),
        Run(
            f"rerank -q one -d two --model {{bert}} --engine openvino --canary numeric {_ON_CPU}",
            '"relevance_score"',
        ),
    ),
    "onnx": (
        Run(
            f"rerank -q one -d two --model {{onnx}} --engine onnx --canary numeric {_ON_CPU}",
            '"relevance_score"',
        ),
    ),
    "migrate": (
        Run("migrate -- text-embeddings-router --model-id org/good --port 1", "port = 1"),
        Run("migrate --from tei -- --model-id org/good", 'source = "org/good"'),
        Run("migrate --from infinity --env-file {environ} -- --model-id org/good", "7997"),
        Run("migrate --from vllm -- --model org/good --what 1", "UNKNOWN.*--what 1", 1),
        Run("migrate --from mosec -- --timeout 500", "default_timeout_seconds = 0.5"),
    ),
    "files": (
        Run("files alerts.yml", "alert: "),
        Run("files schema.json --to {folder}/files", "wrote .*schema.json"),
    ),
    "doctor": (Run("doctor --config {config} --json", '"torch"', None),),
}

VALUES: Mapping[str, tuple[str, ...]] = {
    "--dtype": ("auto", "fp32", "bf16", "fp16", "int8"),
    "--device": ("auto", "cpu", "cpu:0", "cuda", "cuda:0", "mps"),
    "--canary": ("full", "own", "numeric"),
    "--engine": ("auto", "causal", "classifier", "openvino", "onnx", "fake"),
    "--log-level": ("debug", "info", "warning", "error"),
    "--log-format": ("json", "console", "auto"),
    "--workload": ("short3", "rag20", "rag100", "repeat", "mixed"),
}
"""The documented values of options whose parser takes any text."""
