"""The page and its files: their headers and their content."""

import re

import pytest
from starlette.testclient import TestClient

from gateway.http.web import web_files

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("application/json;q=0.5, text/html", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0", False),
        ("application/msgpack", False),
    ],
)
def test_browsers_get_the_page_and_others_the_list_of_endpoints(
    client: TestClient, accept: str, is_page: bool
) -> None:
    reply = client.get("/", headers={"accept": accept})
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/html") == is_page
    assert reply.headers["vary"] == "accept"
    assert ("GET /web/{name}" in reply.text) != is_page


def test_the_page_names_files_that_are_there(client: TestClient) -> None:
    page = client.get("/", headers={"accept": BROWSER}).text + client.get("/docs").text
    named = set(re.findall(r'(?:href|src)="web/([^"]+)"', page))
    modules = (file.content.decode() for name, file in web_files().items() if name.endswith(".js"))
    imported = {name for module in modules for name in re.findall(r'from "\./([^"]+)"', module)}
    assert named | imported | {"index.html"} == set(web_files())


@pytest.mark.parametrize("path", ["/", *(f"/web/{name}" for name in web_files())])
def test_a_file_is_sent_once_until_it_changes(client: TestClient, path: str) -> None:
    first = client.get(path, headers={"accept": BROWSER})
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(path, headers={"accept": BROWSER, "if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    changed = client.get(path, headers={"accept": BROWSER, "if-none-match": '"other"'})
    assert changed.content == first.content


@pytest.mark.parametrize("path", ["/", *(f"/web/{name}" for name in web_files())])
def test_every_file_has_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path, headers={"accept": BROWSER}).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert not headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("name", ["none.js", "__init__.py", "..%2F__init__.py", "%2e%2e/app.py"])
def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    reply = client.get(f"/web/{name}")
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("name", web_files())
def test_no_file_has_code_in_markup_or_an_address_of_another_host(name: str) -> None:
    text = web_files()[name].content.decode()
    text = text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text) == []
    assert re.findall(r"\son\w+=|\sstyle=|javascript:|innerHTML|\beval\(|Function\(", text) == []


def test_a_head_request_has_the_headers_alone(client: TestClient) -> None:
    reply = client.head("/", headers={"accept": BROWSER})
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["etag"]
