#!/usr/bin/env bash
# A client's retries of 429, which depend on the body.
# Version: voyageai 0.5.0.
# Expected: with max_retries=2 the client repeats a 429 whatever its body is.
# Seen: it repeats a 429 only when the JSON has the key "detail"; with another key, as in OpenAI's
# or Cohere's errors, a 429 is final, and an APIError of an invalid response. It repeats every 503.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile --no-deps \
    voyageai==0.5.0 PyYAML==6.0.4 aiohappyeyeballs==2.7.1 aiohttp==3.14.5 aiolimiter==1.3.0 \
    aiosignal==1.4.0 annotated-types==0.8.0 attrs==26.1.0 certifi==2026.10.19.post1 \
    charset-normalizer==3.5.3 filelock==4.3.1 frozenlist==1.8.0 httpx2==2.16.2 \
    huggingface_hub==2.4.0 idna==3.20 langchain-core==1.8.3 langchain-text-splitters==1.1.3 \
    multidict==7.2.1 numpy==2.4.6 packaging==26.4 pillow==13.0.0 propcache==0.5.4 pydantic==2.14.4 \
    pydantic_core==2.50.5 requests==2.34.2 tenacity==9.2.1 tqdm==4.70.1 typing-inspection==0.4.5 \
    typing_extensions==4.16.0 urllib3==2.8.0 uuid_utils==0.19.0 yarl==1.25.1 httpcore2==2.16.2 \
    truststore==0.10.5 h11==0.16.0 anyio==4.16.0 langsmith==0.15.1 jsonpatch==1.48 \
    jsonpointer==3.12 tokenizers==0.23.3 hf-xet==1.8.0 fsspec==2026.9.0 click==8.5.1 xxhash==4.1.0 \
    langchain-protocol==0.0.20
cd "$folder"
venv/bin/python - <<'EOF'
import http.server
import json
import threading

calls = []
answers = {}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        calls.append(self.path)
        status, body = answers["first"] if len(calls) == 1 else (200, answers["then"])
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"

import voyageai

answers["then"] = {
    "object": "list",
    "data": [{"index": 0, "relevance_score": 0.5}],
    "model": "m",
    "usage": {"total_tokens": 3},
}
seen = {}
for status in (429, 503):
    for key in ("message", "detail"):
        calls.clear()
        answers["first"] = (status, {key: "busy"})
        client = voyageai.Client(api_key="any", base_url=url + "/v1", max_retries=2)
        try:
            client.rerank("q", ["d"], "m")
            outcome = "ok"
        except voyageai.error.VoyageError as error:
            outcome = type(error).__name__
        seen[status, key] = (len(calls), outcome)
        print(status, key, seen[status, key])
assert seen == {
    (429, "message"): (1, "APIError"),
    (429, "detail"): (2, "ok"),
    (503, "message"): (2, "ok"),
    (503, "detail"): (2, "ok"),
}
EOF
