"""The shortest proof that an installation works: a score without a server, and one from a server.

It runs outside the checkout, by the Python of the installation: see `scripts/test-pythons`.
"""

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gateway import Reranker
from gateway.client import Client

QUERY = "What is the capital of France?"
DOCUMENTS = ["Berlin is the capital of Germany.", "Paris is the capital of France."]


def main() -> None:
    """Score twice; raise if a score or an exit code is wrong."""
    with Reranker("embedded", device="cpu", threads=1) as reranker:
        alone = reranker.rerank(QUERY, DOCUMENTS)
    assert alone.results[0].index == 1, alone
    gateway = Path(sys.executable).parent / "gateway"
    command = [str(gateway), "serve", "--model", "embedded=embedded:bert", "--port", "0"]
    options = ["--device", "cpu", "--threads", "1", "--log-format", "console"]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            with Client(_url(process.stderr.readline)) as client:
                served = client.rerank(QUERY, DOCUMENTS)
            assert [each.index for each in served] == [each.index for each in alone]
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait(60) == 0, process.returncode
        finally:
            process.kill()
    sys.stdout.write(f"{sys.version.split()[0]}: scores {alone.results[0].relevance_score:.4f}\n")


def _url(readline: Callable[[], str]) -> str:
    """Return the URL of the gateway once it is ready, by its log."""
    while line := readline():
        if found := re.search(r"ready at (http://\S+)", line):
            return found[1]
    raise RuntimeError("the gateway has ended before it was ready")


if __name__ == "__main__":
    main()
