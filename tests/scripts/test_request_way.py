"""scripts/request_way.py follows a request through the gateway and through the shard."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_both_processes_are_followed() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "scripts" / "request_way.py"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    passed = {line.strip() for line in run.stdout.splitlines() if line.startswith("  ")}
    assert {"gateway/dialects/request_parser.py", "shards/worker/runner.py"} <= passed
