"""``--proxy-protocol`` and ``--allowed-host`` over real sockets, in every event loop, and from the command line."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import GET, PATIENCE_S, Process, connect, drain_socket, logged, make_server, read_all, read_answer, respond
from raw_websocket import TEXT, encode, encode_close, handshake
from tests.proxy_headers import LOCAL, TCP6, v1, v2, v2_block, with_checksum

pytestmark = pytest.mark.network

CLIENT, SERVER = ("192.0.2.1", 56324), ("198.51.100.2", 443)
CLIENT6, SERVER6 = ("2001:db8::1", 56324), ("2001:db8::2", 443)
FOUND, FOUND6 = repr((CLIENT, SERVER)).encode(), repr((CLIENT6, SERVER6)).encode()
BLOCK, BLOCK6 = v2_block(CLIENT, SERVER), v2_block(CLIENT6, SERVER6)
LAST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


async def addresses(scope: Any, receive: Any, send: Any) -> None:
    """Answers with both addresses."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    text = repr((scope["client"], scope["server"]))
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        said = (await receive())["text"]
        await send({"type": "websocket.send", "text": f"{said} {text}"})
        await receive()
        return
    await respond(send, text.encode())


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (v1(CLIENT, SERVER), FOUND),
        (v1(CLIENT6, SERVER6), FOUND6),
        (v2(BLOCK), FOUND),
        (v2(BLOCK6, TCP6), FOUND6),
        (with_checksum(BLOCK), FOUND),
    ],
)
def test_pipelined_requests_behind_a_header(run: Any, header: bytes, found: bytes) -> None:
    async def main() -> None:
        async with make_server(addresses, proxy_protocol=True) as server:
            reader, writer = await connect(server)
            writer.write(header + GET % b"/" + GET % b"/" + LAST)
            data = await read_all(reader, writer)
            assert data.count(found) == data.count(b"HTTP/1.1 200 OK\r\n") == 3

    run(main())


@pytest.mark.parametrize("header", [v1(CLIENT, SERVER), v2(BLOCK)])
def test_header_in_two_pieces(run: Any, header: bytes) -> None:
    async def main() -> None:
        async with make_server(addresses, proxy_protocol=True) as server:
            reader, writer = await connect(server)
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            writer.write(header[:14])
            # Another connection's answer shows that the loop has had its turn in between.
            other_reader, other_writer = await connect(server)
            other_writer.write(header + LAST)
            assert FOUND in await read_all(other_reader, other_writer)
            writer.write(header[14:] + GET % b"/")
            assert await read_answer(reader) == FOUND
            writer.write(LAST)
            assert FOUND in await read_all(reader, writer)

    run(main())


def test_local_is_the_proxy_itself(run: Any) -> None:
    async def main() -> None:
        async with make_server(addresses, proxy_protocol=True) as server:
            for header in (v2(b"", 0, LOCAL), v2(BLOCK, command=LOCAL), b"PROXY UNKNOWN\r\n"):
                reader, writer = await connect(server)
                own, peer = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
                writer.write(header + LAST)
                assert (await read_all(reader, writer)).endswith(repr((tuple(own), tuple(peer))).encode())
                # A health check that only looks whether it is accepted.
                reader, writer = await connect(server)
                writer.write(header)
                writer.write_eof()
                assert await read_all(reader, writer) == b""

    run(main())


def test_websocket_behind_a_header(run: Any) -> None:
    async def main() -> None:
        async with make_server(addresses, proxy_protocol=True) as server:
            for header in (v1(CLIENT, SERVER), v2(BLOCK)):
                reader, writer = await connect(server)
                writer.write(header + handshake() + encode(TEXT, b"hi"))
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
                assert head.startswith(b"HTTP/1.1 101 ")
                frame = await asyncio.wait_for(reader.readuntil(FOUND), PATIENCE_S)
                assert frame.endswith(b"hi " + FOUND)
                writer.write(encode_close(1000))
                await read_all(reader, writer)

    run(main())


@pytest.mark.parametrize("data", [v1(CLIENT, SERVER) + LAST, LAST, b""])
def test_untrusted_peer_is_closed(run: Any, log: Callable[[], list[str]], data: bytes) -> None:
    async def main() -> None:
        async with make_server(addresses, proxy_protocol=True, forwarded_allow_ips="192.0.2.1") as server:
            reader, writer = await connect(server)
            writer.write(data)
            assert await read_all(reader, writer) == b""
            await logged(log, "Connection closed, because of --proxy-protocol: the peer is not among")
            while server.server_state.connections:  # noqa: ASYNC110  # the other end is a socket, not an event
                await asyncio.sleep(0)

    run(main())


def test_plain_request_is_refused(run: Any, log: Callable[[], list[str]]) -> None:
    async def main() -> None:
        async with make_server(addresses, proxy_protocol=True) as server:
            reader, writer = await connect(server)
            writer.write(LAST)
            assert await read_all(reader, writer) == b""
            await logged(log, "--proxy-protocol: it does not begin with a PROXY protocol header")

    run(main())


def test_connections_that_wait_do_not_keep_the_server(run: Any) -> None:
    async def main() -> None:
        async with make_server(addresses, proxy_protocol=True) as server:
            connections = [await connect(server) for _ in range(3)]
            connections[1][1].write(v1(CLIENT, SERVER))
            connections[2][1].write(v1(CLIENT, SERVER) + GET % b"/")
            assert await read_answer(connections[2][0]) == FOUND
        for reader, writer in connections:
            assert await read_all(reader, writer) == b""

    run(main())


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Unix sockets are what is tested")
def test_unix_socket(run: Any, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "s")
        async with make_server(addresses, uds=path, proxy_protocol=True, forwarded_allow_ips="unix:") as server:
            reader, writer = await connect(server)
            writer.write(v2(BLOCK) + LAST)
            assert (await read_all(reader, writer)).endswith(FOUND)

    run(main())


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Unix sockets are what is tested")
@pytest.mark.parametrize("is_proxied", [False, True], ids=["fields", "PROXY protocol"])
def test_who_is_gone_before_it_is_accepted_is_trusted_by_nobody(run: Any, tmp_path: Path, is_proxied: bool) -> None:
    """The kernel may no longer say who it was, and yet has its request: it is not one from a Unix socket."""
    lies = b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nConnection"
    header = v1(CLIENT, SERVER) if is_proxied else b""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append((scope["path"], scope["client"], scope["scheme"]))
        await addresses(scope, receive, send)

    async def main(sockets: list[socket.socket]) -> None:
        server = make_server(app, forwarded_allow_ips="unix:", proxy_protocol=is_proxied)
        serving = asyncio.ensure_future(server.serve(sockets=sockets))
        reader, writer = await asyncio.open_unix_connection(sockets[1].getsockname())
        writer.write(header + LAST.replace(b"/", b"/last", 1).replace(b"Connection", lies))
        assert (await read_all(reader, writer)).startswith(b"HTTP/1.1 200 ")
        while server.server_state.connections:  # noqa: ASYNC110  # the other end is a socket, not an event
            await asyncio.sleep(0)
        server.should_exit = True
        await serving

    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        with socket.create_connection(tcp.getsockname()) as client:
            client.sendall(header + LAST.replace(b"/", b"/first", 1).replace(b"Connection", lies))
            # Closed by a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        run(main([tcp, unix]))
    # The fields of a client whom only a header has named are not believed either.
    assert seen[-1] == (("/last", CLIENT, "http") if is_proxied else ("/last", ("6.6.6.6", 0), "https"))
    # asyncio was told by accept(2) who it was, uvloop asks later.
    for _, found, scheme in seen[:-1]:
        assert found is None or found[0] == "127.0.0.1"
        assert scheme == "http"
    assert len(seen) == 1 if is_proxied else len(seen) <= 2


def test_allowed_hosts(run: Any) -> None:
    async def main() -> None:
        async with make_server(addresses, allowed_hosts=["test", "*.example.com"]) as server:
            for host, status in ((b"test", 200), (b"a.example.com:80", 200), (b"example.com", 421)):
                for request in (LAST, handshake()):
                    reader, writer = await connect(server)
                    writer.write(
                        request.replace(b"Host: test", b"Host: " + host) + encode(TEXT, b"hi") * (status == 200)
                    )
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
                    is_open = request is not LAST and status == 200
                    assert head.startswith(b"HTTP/1.1 %d " % (101 if is_open else status))
                    if is_open:
                        writer.write(encode_close(1000))
                    await read_all(reader, writer)

    run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="the harness ends processes by signals")
def test_from_the_command_line(start: Callable[..., Process]) -> None:
    process = start("--port", "0", "--proxy-protocol", "--allowed-host", "test", "--log-level", "info")
    for header, request, begin in (
        (v1(CLIENT, SERVER), LAST, b"HTTP/1.1 200 "),
        (v2(BLOCK), LAST.replace(b"test", b"other"), b"HTTP/1.1 421 "),
        (b"", LAST, b""),
    ):
        with socket.create_connection(process.address, PATIENCE_S) as client:
            client.sendall(header + request)
            answer = drain_socket(client)
            assert answer.startswith(begin)
            assert bool(answer) == bool(begin)
    process.wait_for("192.0.2.1:56324 - Invalid HTTP request received: this host is not served here (421): 'other'")
    process.wait_for("--proxy-protocol: it does not begin with a PROXY protocol header")
