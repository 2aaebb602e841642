#!/usr/bin/env bash
# An error of the server, and the score of one text, by the API rerankers of AnswerDotAI's package.
# Version: rerankers 0.10.0, APIRanker for the APIs of Cohere and Jina.
# Expected: a 429 raises an error with the status or the message of the server; score("query", "text")
# returns a number.
# Seen: the status is not read: a 429 is KeyError: 'results', and its message is lost. Retry-After has
# no effect. score takes texts by its signature and fails for each of them before anything is sent;
# with a Document it returns the number.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    rerankers==0.10.0 requests==2.34.2
cd "$folder"
venv/bin/python - <<'EOF'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rerankers.documents import Document
from rerankers.models.api_rankers import APIRanker

queries = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        queries.append(request["query"])
        busy = request["query"] == "busy"
        reply = {"message": "busy"} if busy else {"results": [{"index": 0, "relevance_score": 0.5}]}
        body = json.dumps(reply).encode()
        self.send_response(429 if busy else 200)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def outcome(call):
    try:
        return call()
    except Exception as error:
        return repr(error)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1/rerank"
for provider in ("cohere", "jina"):
    ranker = APIRanker("model", "any", provider, url=url)
    assert ranker.rank("query", ["text"]).results[0].score == 0.5
    busy = outcome(lambda: ranker.rank("busy", ["text"]))
    text = outcome(lambda: ranker.score("query", "text"))
    document = outcome(lambda: ranker.score("query", Document("text", 0)))
    print(provider, "429:", busy, "score of a text:", text, "of a document:", document)
    assert busy == "KeyError('results')" and "AttributeError" in text and document == 0.5
assert queries == ["query", "busy", "query"] * 2
EOF
