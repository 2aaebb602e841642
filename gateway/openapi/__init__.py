"""The API described, for programs (OpenAPI 3.1) and for people (a page of HTML)."""

from gateway.openapi.document import document, example_reply, meant_at
from gateway.openapi.page import page

__all__ = ["document", "example_reply", "meant_at", "page"]
