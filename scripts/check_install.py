"""Does the addax that is installed here work, and is it the variant that it should be?

    python check_install.py compiled
    python check_install.py pure

``scripts/check-dist`` runs this, and cibuildwheel on every wheel. It needs nothing but addax, which must not be that of
a checkout.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import addax

PATIENCE_S = 30.0
ANSWER = b"It works."


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer a request with what was sent and a text."""
    assert scope["type"] == "http"
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body + ANSWER})


async def exchange(http: str) -> bytes:
    """Send one request to a server with this parser, over a socket."""
    config = addax.Config(app, port=0, http=http, lifespan="off", log_level="warning")
    async with addax.Server(config, handle_signals=False) as server:
        host, port = server.addresses[0]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\nConnection: close\r\n\r\n-> ")
        answer = await reader.read()
        writer.close()
    return answer


def compiled_modules() -> tuple[set[str], set[str]]:
    """The modules of which the package has a declaration for the compiler, and those that are machine code.

    What exists as machine code only has a declaration for the type checker.
    """
    package = Path(addax.__file__).parent
    declared, compiled = set(), set()
    for path in [*package.rglob("*.pxd"), *package.rglob("*.pyi")]:
        name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        declared.add(name)
        try:
            spec = find_spec(name)
        except ModuleNotFoundError:
            continue
        if spec is not None and isinstance(spec.loader, ExtensionFileLoader):
            compiled.add(name)
            _load(name)
    return declared, compiled


def _load(name: str) -> None:
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        # A library of an extra, like httptools, need not be here.
        if error.name is None or error.name.partition(".")[0] == "addax":
            raise


def main(variant: str) -> None:
    """Check, and say what was found.

    Raises:
        AssertionError: something is not as it should be.
    """
    is_compiled = {"compiled": True, "pure": False}[variant]
    assert Path(addax.__file__).parts[-3] != "src", f"this is a checkout: {addax.__file__}"
    assert addax.is_compiled() is is_compiled, addax.__file__
    declared, compiled = compiled_modules()
    assert declared, "the declarations are missing"
    assert compiled == (declared if is_compiled else set()), declared ^ compiled
    for http in ("auto", "h11"):
        answer = asyncio.run(asyncio.wait_for(exchange(http), PATIENCE_S))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
        assert answer.endswith(b"\r\n\r\n-> " + ANSWER), answer
    line = subprocess.run(
        [sys.executable, "-m", "addax", "--version"], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    ).stdout.strip()
    assert line.endswith(", compiled)" if is_compiled else ", pure Python)"), line
    print(f"{line}; {len(compiled)} compiled modules")


if __name__ == "__main__":
    main(sys.argv[1])
