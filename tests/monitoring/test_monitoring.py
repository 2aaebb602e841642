"""Alert rules and dashboard: they use exported metrics, and the alerts are tested."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.gateway.cli.conftest import Serving

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
DASHBOARD = json.loads((CONFIGS / "grafana" / "rerank-gateway.json").read_text())
RULES = yaml.safe_load((CONFIGS / "alerts.yml").read_text())["groups"][0]["rules"]

PROMETHEUS_OWN = {"up"}
TARGET_LABELS = {"job", "instance"}
VARIABLES = {"$__rate_interval": "5m"}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is missing; apt install prometheus, or run scripts/system-packages",
)


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus.compose.yml"])
def test_prometheus_accepts_its_configuration(name: str) -> None:
    promtool("check", "config", "--lint=all", CONFIGS / name)


@needs_promtool
def test_each_alert_is_raised_exactly_when_it_should_be() -> None:
    promtool("test", "rules", Path(__file__).parent / "alerts.test.yml")


def test_every_alert_is_tested() -> None:
    tried = yaml.safe_load((Path(__file__).parent / "alerts.test.yml").read_text())["tests"]
    raised = {
        re.findall(r'alertname="(\w+)"', sample["labels"])[0]
        for test in tried
        for asked in test.get("promql_expr_test", [])
        for sample in asked["exp_samples"]
    }
    quiet = {rule["alertname"] for rule in tried[0]["alert_rule_test"]}
    assert raised == quiet == {rule["alert"] for rule in RULES}


def panels() -> Iterator[tuple[str, str]]:
    """Yield title and query of each graph of the dashboard."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


QUERIES = [*panels(), *((rule["alert"], rule["expr"]) for rule in RULES)]


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    """Yield every selector of a parsed query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    for name in ("expr", "lhs", "rhs", "vector_selector", "vs", "args", "param"):
        child = getattr(node, name, None)
        for part in child if isinstance(child, list) else [child]:
            if part is not None:
                yield from selectors(part)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return the series names of a running gateway, with the names of their labels."""
    folder = tmp_path_factory.mktemp("monitoring")
    (folder / "gateway.toml").write_text(
        "port = 0\nscore_cache_path = 'scores.db'\n"
        "[models.demo]\nsource = 'fake'\nengine = 'fake'\ndevices = ['cpu:0']\n"
    )
    with Serving("--config", str(folder / "gateway.toml"), log=folder / "log") as serving:
        body = json.dumps({"query": "q", "documents": ["a", "b"]}).encode()
        headers = {"Content-Type": "application/json"}
        ask = urllib.request.Request(f"{serving.url}/v1/rerank", body, headers)
        urllib.request.urlopen(ask, timeout=60).close()
        accept = {"Accept": "application/openmetrics-text"}
        read = urllib.request.Request(f"{serving.url}/metrics", headers=accept)
        with urllib.request.urlopen(read, timeout=60) as reply:
            text = reply.read().decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call] # has no types
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        for suffix in suffixes.get(family.type, ("",)):
            found.setdefault(family.name + suffix, set())  # declared, but without a sample yet
    return found


@pytest.mark.parametrize(
    ("title", "query"), QUERIES, ids=[f"{t}-{i}" for i, (t, _) in enumerate(QUERIES)]
)
def test_a_query_uses_exported_metrics_only(
    title: str, query: str, exported: dict[str, set[str]]
) -> None:
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    found = list(selectors(promql_parser.parse(query)))
    assert found, title
    for selector in found:
        name = selector.name
        assert name in exported or name in PROMETHEUS_OWN, f"{title}: {name} is not exported"
        asked = {matcher.name for matcher in selector.matchers.matchers} - TARGET_LABELS
        known = exported.get(name, set())
        assert asked <= known or not known, f"{title}: {name} has no {asked - known}"


def test_both_selectors_of_a_query_are_found() -> None:
    """A test of `selectors` itself, with a query that has two."""
    query = 'sum by (a) (rate(x_total{m="1"}[5m])) / histogram_quantile(0.9, sum by (le) (y)) > 1'
    assert [selector.name for selector in selectors(promql_parser.parse(query))] == ["x_total", "y"]


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identities) == len(set(identities))
    assert all(panel["description"] for panel in DASHBOARD["panels"])
