"""A reverse proxy in front: nginx, HAProxy and Caddy.

A plain one opens no endpoint of the operator; the examples of configs/proxies pass requests and
answers on as they are.
"""

import asyncio
import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest

from gateway.config import Settings
from tests.redis_server import free_port
from tests.system.operator import model
from tests.system.running import running

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
        location / {{ {options} proxy_pass http://127.0.0.1:{gateway}; }}
    }}
}}
"""
HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server gateway 127.0.0.1:{gateway}
"""
CADDY = """
{{
    admin off
    auto_https off
}}
http://:{port} {{
    reverse_proxy 127.0.0.1:{gateway}
}}
"""
PROXIES = {
    "nginx": (NGINX, ["nginx", "-c", "{file}", "-p", "{folder}", "-e", "{folder}/error.log"]),
    "haproxy": (HAPROXY, ["haproxy", "-f", "{file}"]),
    "caddy": (CADDY, ["caddy", "run", "--config", "{file}", "--adapter", "caddyfile"]),
}
EXAMPLES = Path(__file__).parents[2] / "configs" / "proxies"
NGINX_AROUND = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    include {folder}/example.conf;
}}
"""
CHANGES = ("/admin/reload", "/admin/drain?model=m")
JSON = {"content-type": "application/json"}
ENDS = {"ready", "failed"}
READS = ("/status", "/metrics")


@contextmanager
def proxy(name: str, folder: Path, gateway: str, options: str = "") -> Iterator[str]:
    """Run a proxy in front of a gateway; yield the URL of the proxy."""
    text, _ = PROXIES[name]
    port = free_port()
    (folder / "proxy").mkdir(exist_ok=True)
    names = {"folder": folder / "proxy", "port": port, "gateway": gateway.rpartition(":")[2]}
    with process_of(name, folder, text.format(**names, options=options)):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def example(name: str, folder: Path, gateway: str) -> Iterator[str]:
    """Run the example of a proxy, with other ports; yield its URL."""
    port = free_port()
    (folder / "proxy").mkdir(exist_ok=True)
    (text,) = [file.read_text() for file in EXAMPLES.iterdir() if file.stem == name]
    assert text.count("127.0.0.1:8081") == 1
    text = text.replace("127.0.0.1:8080", gateway.removeprefix("http://"))
    text = text.replace("127.0.0.1:8081", f"127.0.0.1:{port}")
    if name == "nginx":
        (folder / "proxy" / "example.conf").write_text(text)
        text = NGINX_AROUND.format(folder=folder / "proxy")
    with process_of(name, folder, text):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def process_of(name: str, folder: Path, text: str) -> Iterator[None]:
    """Run a proxy with this configuration."""
    _, command = PROXIES[name]
    file = folder / "proxy" / name
    file.write_text(text)
    names = {"folder": folder / "proxy"}
    with (folder / "proxy.log").open("ab") as log:
        process = subprocess.Popen(
            [part.format(file=file, **names) for part in command], stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


async def until_up(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                async with session.get(f"{url}/livez") as reply:
                    if reply.status in {200, 400}:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", PROXIES)
async def test_a_plain_proxy_opens_nothing_of_the_operator(name: str, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (scripts/system-packages)")
    async with running(model("m"), tmp_path) as gateway:
        await gateway.until_ready()
        with proxy(name, tmp_path, gateway.url) as url:
            session = gateway.session
            await until_up(session, url)
            for path in CHANGES:
                async with session.post(url + path) as reply:
                    assert reply.status == 403, await reply.text()
            # nginx sends HTTP/1.0, HAProxy the client's name of the host, Caddy what it forwards.
            headers = {"Host": "rerank.example"}
            for path in READS:
                async with session.get(url + path, headers=headers) as reply:
                    assert reply.status in {400, 403}, await reply.text()
            body = {"query": "q", "documents": ["a"]}
            async with session.post(f"{url}/v1/rerank", json=body) as reply:
                assert reply.status == 200, await reply.text()
        assert (await gateway.models())["m"]["state"] == "ready"
        _, status = await gateway.get("/status")
        assert status["reload"]["attempts"] == 0


async def test_the_setting_closes_status_to_a_proxy_that_hides_itself(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (scripts/system-packages)")
    options = 'proxy_http_version 1.1; proxy_set_header Connection "";'
    async with running("[http]\nopen_status = false\n" + model("m"), tmp_path) as gateway:
        with proxy("nginx", tmp_path, gateway.url, options) as url:
            await until_up(gateway.session, url)
            for path in READS:
                async with gateway.session.get(url + path) as reply:
                    assert reply.status == 403, await reply.text()


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_an_example_passes_all_but_the_operators_endpoints(name: str, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (scripts/system-packages)")
    broken = '[models.broken]\nsource = "fake?refuse=4"\nengine = "fake"\ndevices = ["cpu"]\n'
    async with running(model("m") + broken, tmp_path) as gateway:
        await gateway.until(lambda shards: {each["state"] for each in shards.values()} == ENDS)
        with example(name, tmp_path, gateway.url) as url:
            session = gateway.session
            await until_up(session, url)
            for size in (10, 900_000):
                body = io.BytesIO(orjson.dumps({"query": "q", "documents": ["a" * size] * 8}))
                async with session.post(f"{url}/v1/rerank", data=body, headers=JSON) as reply:
                    assert (reply.status, len((await reply.json())["results"])) == (200, 8)
            unavailable = {"query": "q", "documents": ["a"], "model": "broken"}
            for _ in range(3):  # a 503 takes no gateway out of service
                async with session.post(f"{url}/v1/rerank", json=unavailable) as reply:
                    found = (await reply.json())["error"]["code"]
                    assert (reply.status, found) == (503, "model_unavailable")
            for path in (*CHANGES, "/admin/cache/clear"):
                async with session.post(url + path) as reply:
                    assert reply.status == 403
            for path in READS:
                async with session.get(url + path) as reply:
                    assert reply.status == 403
            async with session.get(f"{url}/readyz") as reply:
                assert reply.status == 200


@pytest.mark.parametrize(
    ("name", "longest", "kept"),
    [
        ("nginx.conf", r"proxy_read_timeout (\d+)s", r"keepalive_timeout (\d+)s"),
        ("haproxy.cfg", r"timeout server (\d+)s", r"timeout http-keep-alive (\d+)s"),
    ],
)
def test_the_times_of_an_example_fit_the_gateways(name: str, longest: str, kept: str) -> None:
    text, settings = (EXAMPLES / name).read_text(), Settings()
    ((answer,), (idle,)) = (re.findall(pattern, text) for pattern in (longest, kept))
    assert int(answer) > settings.max_timeout_seconds
    assert int(idle) < settings.http.keep_alive_seconds
    if name == "nginx.conf":
        assert int(re.findall(r"body_size (\d+)m", text)[0]) << 20 == settings.limits.body_bytes
