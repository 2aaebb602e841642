#!/usr/bin/env bash
# Scores of the OpenAI-compatible reranker of Dify's plugins.
# Version: dify-plugin 0.7.4.
# Expected: a document has the score of the reply, so that a score threshold means the same for
# every reply.
# Seen: scores are moved to [0, 1] by the least and the largest of the reply. The last result always
# has 0, also with a score of 0.98; a lone result has 0 and falls below any threshold, and the best
# of documents of which none is relevant has 1.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile --no-deps \
    dify_plugin==0.7.4 annotated-types==0.8.0 anyio==4.16.0 blinker==1.9.0 \
    certifi==2026.10.19.post1 charset-normalizer==3.5.3 click==8.5.1 dpkt==1.9.8 Flask==3.0.3 \
    gevent==25.5.1 greenlet==3.5.6 h11==0.16.0 httpcore==1.0.9 httpx==0.28.1 idna==3.20 \
    itsdangerous==2.2.0 Jinja2==3.1.6 MarkupSafe==3.0.4 multidict==7.2.1 packaging==26.4 \
    propcache==0.5.4 pydantic-settings==2.16.3 pydantic==2.14.4 pydantic_core==2.50.5 \
    python-dotenv==1.2.4 PyYAML==6.0.4 regex==2026.11.19 requests==2.32.5 socksio==1.0.0 \
    tiktoken==0.8.0 typing-inspection==0.4.5 typing_extensions==4.16.0 urllib3==2.8.0 \
    Werkzeug==3.1.9 yarl==1.25.1 zope.event==6.2 zope.interface==8.7
cd "$folder"
venv/bin/python - <<'EOF'
from dify_plugin.interfaces.model.openai_compatible import rerank  # first: it patches sockets

import http.server
import json
import os
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        results = [
            {"index": index, "relevance_score": float(text)}
            for index, text in enumerate(body["documents"])
        ]
        results.sort(key=lambda result: -result["relevance_score"])
        reply = json.dumps({"results": results[: body["top_n"]]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
credentials = {"endpoint_url": f"http://127.0.0.1:{server.server_port}/v1", "api_key": "any"}
model = rerank.OAICompatRerankModel.__new__(rerank.OAICompatRerankModel)


def ranked(documents, **options):
    """Return the scores that Dify shows for documents whose texts are their scores."""
    found = model._invoke("m", credentials, "q", documents, **options).docs
    return [round(document.score, 3) for document in found]


seen = {
    "three good ones": ranked(["0.99", "0.985", "0.98"], top_n=3),
    "three bad ones": ranked(["0.02", "0.015", "0.01"], top_n=3),
    "the best two": ranked(["0.99", "0.985", "0.98"], top_n=2),
    "one": ranked(["0.99"], top_n=1),
    "one, threshold 0.1": ranked(["0.99"], top_n=1, score_threshold=0.1),
}
for case, scores in seen.items():
    print(f"{case}: {scores}")
assert list(seen.values()) == [[1, 0.5, 0], [1, 0.5, 0], [1, 0], [0], []]
sys.stdout.flush()
os._exit(0)  # the patched locks print a traceback when the interpreter ends
EOF
