"""TLS for who embeds a server or calls ``addax.run``: contexts of one's own, and changes at awkward moments."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from harness import GET, PATIENCE_S, App, logged, make_config, read_answer, respond
from tests.certificates import Authority, Files

from addax.config import Config, create_ssl_context
from addax.config.config import SSL_PROTOCOL_VERSION
from addax.core.errors import ConfigError
from addax.core.types import Receive, Scope, Send
from addax.server.server import Server

pytestmark = pytest.mark.network

Run = Callable[[Coroutine[Any, Any, None]], None]


class TlsApp(App):
    async def tls(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, json.dumps([scope["scheme"], scope["extensions"]["tls"]]).encode())


async def ask(server: Server, context: ssl.SSLContext) -> tuple[str, dict[str, Any]]:
    """What the application sees."""
    reader, writer = await asyncio.open_connection(*server.addresses[0], ssl=context, server_hostname="localhost")
    writer.write(GET % b"/tls")
    scheme, facts = json.loads(await read_answer(reader))
    writer.close()
    await writer.wait_closed()
    return scheme, facts


def options_of(files: Files) -> dict[str, Any]:
    return {"ssl_certfile": files.certfile, "ssl_keyfile": str(files.keyfile)}


def test_embedded_server_encrypts(run: Run, authority: Authority) -> None:
    files = authority.server("localhost")

    async def main() -> None:
        config = make_config(TlsApp(), **options_of(files))
        async with Server(config, handle_signals=False) as server:
            scheme, facts = await ask(server, authority.client_context())
            assert (scheme, facts["server_cert"]) == ("https", files.pem)

    run(main())


def test_factory_changes_what_the_options_describe(run: Run, authority: Authority) -> None:
    seen: list[Any] = []

    def factory(config: Config, make_default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        seen.append(config)
        context = make_default()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    async def main() -> None:
        config = make_config(TlsApp(), ssl_context_factory=factory, **options_of(authority.server("localhost")))
        async with Server(config, handle_signals=False) as server:
            assert (await ask(server, authority.client_context()))[1]["tls_version"] == 0x0303
        assert seen == [config]

    run(main())


@pytest.mark.parametrize("has_certificate", [True, False])
def test_context_that_is_put_into_a_loaded_config_is_used(
    run: Run, authority: Authority, log: Callable[[], list[str]], has_certificate: bool
) -> None:
    files, mine = authority.server("localhost", "127.0.0.1"), authority.server("localhost")

    async def main() -> None:
        config = make_config(TlsApp(), **(options_of(files) if has_certificate else {}))
        config.load()
        config.ssl = create_ssl_context(mine.certfile, mine.keyfile, None, SSL_PROTOCOL_VERSION, 0, None, None)
        async with Server(config, handle_signals=False) as server:
            reader, writer = await asyncio.open_connection(
                *server.addresses[0], ssl=authority.client_context(), server_hostname="localhost"
            )
            names = writer.get_extra_info("peercert")["subjectAltName"]
            assert names == (("DNS", "localhost"),)
            writer.write(GET % b"/tls")
            scheme, facts = json.loads(await read_answer(reader))
            # Whose it is can be told of what was read from the options only.
            assert (scheme, facts["server_cert"], facts["tls_version"]) == ("https", None, 0x0304)
            writer.close()
            await writer.wait_closed()
        assert any("Addax running on https://" in line for line in log())

    run(main())


def test_certificate_that_changes_while_the_application_starts_is_noticed(
    run: Run, authority: Authority, tmp_path: Path, log: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addax.net.tls_watch.LOOK_S", 0.01)
    files = authority.server("localhost").copy_to(tmp_path)
    changed = authority.server("localhost", "127.0.0.1")

    class Slow(TlsApp):
        async def _live(self, receive: Receive, send: Send) -> None:
            # The files were read before that.
            changed.copy_to(tmp_path)
            await super()._live(receive, send)

    async def main() -> None:
        async with Server(make_config(Slow(), **options_of(files)), handle_signals=False) as server:
            await asyncio.wait_for(logged(log, "Took the changed certificate of localhost"), PATIENCE_S)
            assert (await ask(server, authority.client_context()))[1]["server_cert"] == changed.pem

    run(main())


def test_files_that_cannot_be_used_leave_the_old_certificate(
    run: Run, authority: Authority, tmp_path: Path, log: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addax.net.tls_watch.LOOK_S", 0.01)
    files = authority.server("localhost").copy_to(tmp_path)
    first, changed = files.pem, authority.server("localhost", "127.0.0.1")

    async def main() -> None:
        async with Server(make_config(TlsApp(), **options_of(files)), handle_signals=False) as server:
            files.certfile.write_text("-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n")
            await asyncio.wait_for(logged(log, "cannot be used, the old ones stay in use"), PATIENCE_S)
            assert (await ask(server, authority.client_context()))[1]["server_cert"] == first
            files.certfile.unlink()
            await asyncio.wait_for(logged(log, "No such file"), PATIENCE_S)
            assert (await ask(server, authority.client_context()))[1]["server_cert"] == first
            changed.copy_to(tmp_path)
            await asyncio.wait_for(logged(log, "Took the changed certificate of localhost"), PATIENCE_S)
            assert (await ask(server, authority.client_context()))[1]["server_cert"] == changed.pem

    run(main())


def test_certificate_that_changes_in_a_handshake_is_told_right(run: Run, authority: Authority, tmp_path: Path) -> None:
    files = authority.server("localhost").copy_to(tmp_path)
    first, changed = files.pem, authority.server("localhost", "127.0.0.1")

    async def main() -> None:
        config = make_config(TlsApp(), **options_of(files))
        async with Server(config, handle_signals=False) as server:
            reader, writer = await asyncio.open_connection(*server.addresses[0])
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = authority.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")

            async def until(call: Callable[[], Any]) -> Any:
                while True:
                    try:
                        return call()
                    except ssl.SSLWantReadError:
                        writer.write(outgoing.read())
                        incoming.write(await asyncio.wait_for(reader.read(65536), PATIENCE_S))

            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            writer.write(outgoing.read())
            # The server has begun, for it has answered.
            incoming.write(await asyncio.wait_for(reader.read(65536), PATIENCE_S))
            changed.copy_to(tmp_path)
            assert server._assembly is not None
            assert server._assembly.tls_port is not None
            material = config.load_tls()
            assert material is not None
            server._assembly.tls_port.material = material
            await until(client.do_handshake)
            client.write(GET % b"/tls")
            answer = b""
            while b"\r\n\r\n" not in answer or not answer.endswith(b"]"):
                answer += await until(lambda: client.read(65536))
            assert json.loads(answer.partition(b"\r\n\r\n")[2])[1]["server_cert"] == first
            writer.close()
            await writer.wait_closed()
            assert (await ask(server, authority.client_context()))[1]["server_cert"] == changed.pem

    run(main())


def test_create_ssl_context_makes_what_the_options_describe(authority: Authority) -> None:
    files = authority.server("localhost")
    context = create_ssl_context(
        certfile=files.certfile,
        keyfile=files.keyfile,
        password=None,
        ssl_version=SSL_PROTOCOL_VERSION,
        cert_reqs=2,
        ca_certs=authority.file,
        ciphers="ECDHE-ECDSA-AES128-GCM-SHA256",
    )
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"] == [
        "ECDHE-ECDSA-AES128-GCM-SHA256"
    ]
    with pytest.raises(ConfigError, match=r"ssl_keyfile_password|ssl_certfile|holds no"):
        create_ssl_context(authority.file, None, None, SSL_PROTOCOL_VERSION, 0, None, None)


# ---- addax.run

PROGRAM = """
import ssl, sys
import addax

async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = scope["extensions"]["tls"]["client_cert_name"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})

def factory(config, make_default):
    context = make_default()
    context.load_verify_locations(sys.argv[1])
    context.verify_mode = ssl.CERT_REQUIRED
    return context

addax.run(app, port=0, lifespan="off", ssl_certfile=sys.argv[2], ssl_context_factory=factory)
"""


def test_run_takes_a_factory(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", str(authority.file), str(authority.server("localhost").combined)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        try:
            line = next(line for line in process.stderr if "Addax running on https://" in line)
            port = int(line.split("127.0.0.1:")[1].split()[0])
            context = authority.client_context(authority.client("/CN=me"))

            async def main() -> None:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=context, server_hostname="localhost"
                )
                writer.write(GET % b"/")
                assert await read_answer(reader) == b"CN=me"
                writer.close()
                await writer.wait_closed()

            asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
            assert process.wait(PATIENCE_S) == -signal.SIGTERM
        finally:
            watchdog.cancel()
            process.kill()
    assert "Traceback" not in rest
