"""The pages of ``showcase``: text in, bytes out. Everything that came from a client is escaped here.

``layout.html`` is the frame with style and script, ``showcase.html`` what the home page has inside it.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path
from string import Template
from typing import Any

_HERE = Path(__file__).parent
_LAYOUT = (_HERE / "layout.html").read_text("utf-8")
_SHOWCASE = Template((_HERE / "showcase.html").read_text("utf-8"))
_FRAME = Template(_LAYOUT)

_UPLOAD_FORM = """
<form class="upload" action="upload" method="post" enctype="multipart/form-data">
  <input type="file" name="file" required aria-label="File">
  <button>Upload</button>
  <output></output>
</form>
"""


def _source_hash(element: str) -> str:
    """The Content-Security-Policy source of the layout's one inline style or script."""
    content = _LAYOUT.split(f"<{element}>")[1].split(f"</{element}>")[0]
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"


_POLICY = (
    f"default-src 'none'; style-src {_source_hash('style')}; script-src {_source_hash('script')}; "
    "img-src data:; connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
)
HTML_HEADERS: list[tuple[bytes, bytes]] = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", _POLICY.encode()),
]


def describe_scope(scope: Any) -> dict[str, Any]:
    """The scope with values that JSON has: bytes become text, objects their type's name."""
    return {key: _plain(value) for key, value in scope.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return f"<{type(value).__name__}>"


def layout(scope: Any, title: str, main: str) -> bytes:
    """A whole page.

    Args:
        scope: for ``root_path``, which all links begin with.
        title: plain text.
        main: HTML.
    """
    base = escape(scope.get("root_path", "").rstrip("/") + "/")
    return _FRAME.substitute(base=base, title=escape(title), main=main).encode()


def showcase_page(scope: Any, facts: list[str]) -> bytes:
    """The home page.

    Args:
        scope: the request's, shown as it is.
        facts: plain text, one short fact each.
    """
    chips = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    values = {"facts": chips, "rows": scope_rows(describe_scope(scope)), "form": _UPLOAD_FORM}
    return layout(scope, "It works", _SHOWCASE.substitute(values))


def upload_page(scope: Any) -> bytes:
    """The upload form alone."""
    return layout(scope, "Upload a file", f'<section class="card">{_UPLOAD_FORM}</section>')


def message_page(scope: Any, title: str, text: str) -> bytes:
    """A page with one sentence.

    Args:
        scope: the request's.
        title: plain text.
        text: plain text.
    """
    return layout(scope, title, f'<p>{escape(text)}</p><p><a href=".">Back to the start</a></p>')


def scope_rows(values: dict[str, Any]) -> str:
    """A table of names and values."""
    rows = "".join(f"<tr><th scope=row>{escape(key)}</th><td>{_cell(value)}</td></tr>" for key, value in values.items())
    return f'<div class="scroll"><table>{rows}</table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, dict) and value:
        return _lines([f"{escape(str(key))}: {_cell(item)}" for key, item in value.items()])
    if isinstance(value, list) and value and isinstance(value[0], list):
        return _lines([f"<b>{escape(str(item[0]))}</b>: {escape(str(item[1]))}" for item in value])
    return f"<code>{escape(repr(value))}</code>"


def _lines(lines: list[str]) -> str:
    return "".join(f"<div>{line}</div>" for line in lines)
