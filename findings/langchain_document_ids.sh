#!/usr/bin/env bash
# The id of a document that a reranker of LangChain returns.
# Version: langchain-cohere 0.6.0, langchain-voyageai 0.4.1, langchain-nvidia-ai-endpoints 1.5.0,
# langchain-core 1.8.3.
# Expected: text, metadata and id of a document come back, and relevance_score is added.
# Seen: CohereRerank and VoyageAIRerank make new documents of text and metadata alone: the id is None.
# NVIDIARerank keeps it.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    langchain-cohere==0.6.0 langchain-voyageai==0.4.1 langchain-nvidia-ai-endpoints==1.5.0 \
    langchain-core==1.8.3 cohere==5.21.1
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from langchain_cohere import CohereRerank
from langchain_core.documents import Document
from langchain_nvidia_ai_endpoints import NVIDIARerank
from langchain_voyageai import VoyageAIRerank

RESULT = {"index": 0, "relevance_score": 0.5}
ANSWERS = {  # by the last part of the path and a key of the request
    "documents": {"id": "1", "results": [RESULT], "data": [RESULT], "usage": {"total_tokens": 1}},
    "passages": {"rankings": [{"index": 0, "logit": 0.5}]},
}


class Handler(BaseHTTPRequestHandler):
    def reply(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.reply(next(ANSWERS[key] for key in ANSWERS if key in request))

    def do_GET(self):
        self.reply({"data": [{"id": "m"}]})

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
rerankers = [
    CohereRerank(base_url=url, cohere_api_key="any", model="m"),
    VoyageAIRerank(base_url=f"{url}/v1", voyage_api_key="any", model="m", top_k=1),
    NVIDIARerank(base_url=f"{url}/v1", nvidia_api_key="any", model="m"),
]
seen = {}
for reranker in rerankers:
    page = Document("text", id="page-7", metadata={"source": "s"})
    (back,) = reranker.compress_documents([page], "query")
    seen[type(reranker).__name__] = back.id
    print(type(reranker).__name__, repr(back))
    assert back.metadata["source"] == "s"
assert seen == {"CohereRerank": None, "VoyageAIRerank": None, "NVIDIARerank": "page-7"}
EOF
