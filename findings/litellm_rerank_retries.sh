#!/usr/bin/env bash
# Retry options that rerank accepts.
# Version: litellm 1.110.2.
# Expected: num_retries and max_retries repeat a 429 and a 503 of rerank, as they do for completion.
# Seen: rerank accepts both and sends one request. A Router with num_retries repeats in arerank; it
# has no rerank without async.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile --no-deps \
    litellm==1.110.2 Jinja2==3.1.6 MarkupSafe==3.0.4 PyYAML==6.0.4 aiohappyeyeballs==2.7.1 \
    aiohttp==3.14.5 aiosignal==1.4.0 annotated-types==0.8.0 anyio==4.16.0 attrs==26.1.0 \
    certifi==2026.10.19.post1 charset-normalizer==3.5.3 click==8.5.1 distro==1.9.0 \
    fastuuid==0.14.0 filelock==4.3.1 frozenlist==1.8.0 h11==0.16.0 h2==4.4.1 hpack==4.2.0 \
    httpcore==1.0.9 httpcore2==2.16.2 httpx2==2.16.2 httpx==0.28.1 huggingface_hub==2.4.0 \
    hyperframe==6.1.0 idna==3.20 importlib_metadata==8.9.0 jiter==0.19.0 multidict==7.2.1 \
    openai==3.57.0 packaging==26.4 propcache==0.5.4 pydantic-settings==2.16.3 pydantic==2.14.4 \
    pydantic_core==2.50.5 python-dotenv==1.2.4 regex==2026.11.19 requests==2.34.2 sniffio==1.3.1 \
    tiktoken==0.14.0 tokenizers==0.23.3 tqdm==4.70.1 typing-inspection==0.4.5 \
    typing_extensions==4.16.0 urllib3==2.8.0 yarl==1.25.1 zipp==4.1.2 zstandard==0.25.0 \
    fsspec==2026.9.0 truststore==0.10.5 jsonschema==4.26.0 jsonschema-specifications==2025.9.1 \
    referencing==0.37.0 rpds-py==2026.9.1
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

import asyncio
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

litellm.suppress_debug_info = True
answers["then"] = {
    "id": "x",
    "results": [{"index": 0, "relevance_score": 0.5}],
    "meta": {"billed_units": {"search_units": 1}},
}
target = {"model": "cohere/m", "api_base": url, "api_key": "any"}
asked = {"query": "q", "documents": ["d"]}


def count(status, call):
    calls.clear()
    answers["first"] = (status, {"message": "busy"})
    try:
        call()
    except (litellm.RateLimitError, litellm.ServiceUnavailableError):
        pass
    return len(calls)


router = litellm.Router(
    model_list=[{"model_name": "r", "litellm_params": target}], num_retries=2, retry_after=0
)
seen = []
for status in (429, 503):
    for option in ("num_retries", "max_retries"):
        requests = count(status, lambda: litellm.rerank(**target, **asked, **{option: 2}))
        print(status, option, requests)
        seen.append(requests)
    requests = count(status, lambda: asyncio.run(router.arerank(model="r", **asked)))
    print(status, "Router.arerank", requests)
    seen.append(requests)
print("Router.rerank", hasattr(router, "rerank"))
assert seen == [1, 1, 2, 1, 1, 2] and not hasattr(router, "rerank")
EOF
