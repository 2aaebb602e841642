"""The sandbox of chat templates, and texts that report what is done with them."""

import ctypes
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SECONDS = 5.0


class TooMuch(Exception):
    """A template that runs too long, or makes too long a text."""


class Looked(Exception):
    """A template that does more with a text than output it."""


@contextmanager
def in_time() -> Iterator[None]:
    """Raise in this thread if the block takes too long."""
    thread = ctypes.c_ulong(threading.get_ident())
    is_over = False

    def end() -> None:
        if not is_over:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(TooMuch))

    timer = threading.Timer(_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except TooMuch as error:
        raise TooMuch(str(error) or f"takes over {_SECONDS:.0f} s to render") from None
    finally:
        is_over = True
        timer.cancel()


def environment() -> Any:
    """Return the environment in which transformers renders chat templates."""
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks an assistant's text; its body is rendered as it is."""

        tags = {"generation"}  # noqa: RUF012  # jinja2 reads it off the class

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    class Environment(ImmutableSandboxedEnvironment):
        """A sandbox in which products and formats stay small."""

        intercepted_binops = frozenset({"*", "**", "%"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            numbers = isinstance(left, int | float) and isinstance(right, int | float)
            if not numbers or (operator == "**" and abs(right) > 64):
                raise TooMuch(f"computes with {operator!r} what may be huge")
            return super().call_binop(context, operator, left, right)

    made = Environment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    for name in ("center", "format", "indent", "wordwrap", "filesizeformat", "pprint", "xmlattr"):
        made.filters.pop(name, None)
    made.filters["tojson"] = _to_json

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def strftime_now(form: str) -> str:
        raise Looked("prints the date of today, so that scores would change with it")

    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = strftime_now
    return made


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    if isinstance(value, Text):
        raise Looked("writes a text as JSON")
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


class Text(str):
    """A text that may be output, joined and stripped of white space; all else raises."""

    def __str__(self) -> str:
        return str.__str__(self)

    def strip(self, chars: str | None = None) -> "Text":
        _expect_no(chars)
        return Text(str.strip(self))

    def lstrip(self, chars: str | None = None) -> "Text":
        _expect_no(chars)
        return Text(str.lstrip(self))

    def rstrip(self, chars: str | None = None) -> "Text":
        _expect_no(chars)
        return Text(str.rstrip(self))

    def __add__(self, other: str) -> "Text":
        return Text(str.__add__(self, other))

    def __radd__(self, other: str) -> "Text":
        return Text(str.__add__(other, self))

    def __iter__(self) -> Iterator[str]:
        raise _looked("goes through the letters of a text")
        yield  # makes this a generator, which raises only when the first letter is requested

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __bool__(self) -> bool:
        return True  # `_compare` renders empty texts, so a test for them may be allowed


def _expect_no(chars: str | None) -> None:
    if chars is not None:
        raise _looked("takes characters off a text")


def _looked(what: str) -> Looked:
    return Looked(what)


def _refusing(name: str) -> Callable[..., Any]:
    def refuse(self: str, *args: Any, **settings: Any) -> Any:
        raise _looked(f"looks at a text ({name.strip('_')})")

    return refuse


_KEPT = frozenset(
    {
        *("__new__", "__init__", "__class__", "__doc__", "__dict__", "__module__", "__weakref__"),
        *("__getattribute__", "__setattr__", "__delattr__", "__init_subclass__", "__dir__"),
        *("__subclasshook__", "__reduce__", "__reduce_ex__", "__getnewargs__", "__repr__"),
        *("__sizeof__", "__getstate__", "__format__"),
    }
)
for _name in dir(str):
    if _name not in _KEPT and _name not in vars(Text) and callable(getattr(str, _name)):
        setattr(Text, _name, _refusing(_name))
