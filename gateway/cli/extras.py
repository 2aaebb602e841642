"""Parts of the package that an installation may lack, and the extra that brings each.

`pip install rerank-gateway` brings the client and `gateway rerank --url`; all other modules come
with extras.
"""

EXTRAS = {
    "cli": frozenset({"rich"}),
    "serve": frozenset(
        {
            *("huggingface_hub", "moka_py", "multiprocess", "prometheus_client", "pydantic"),
            *("pydantic_settings", "dotenv", "safetensors", "starlette", "structlog", "tokenizers"),
            *("torch", "transformers", "uvicorn"),
        }
    ),
}
"""Modules that each extra brings."""


def how_to_install(module: str | None, command: str) -> str:
    """Return the message for a command that needs a missing module; empty if no extra has it."""
    package = (module or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if package in modules:
            return (
                f"{command} needs more than the client alone ({package} is missing): "
                f"pip install 'rerank-gateway[{extra}]'"
            )
    return ""
