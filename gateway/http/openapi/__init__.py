"""The description of the API, for programs (OpenAPI 3.1) and for people (a page of HTML)."""

from gateway.http.openapi.document import dialects_at, document, example_reply
from gateway.http.openapi.page import page

__all__ = ["dialects_at", "document", "example_reply", "page"]
