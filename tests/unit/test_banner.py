"""The lines that say where the server listens."""

from __future__ import annotations

import logging

import pytest

from addax.core.settings import Bind
from addax.net.listen import Address
from addax.server.banner import log_running


@pytest.mark.parametrize(
    ("bind", "bound", "words"),
    [
        (Bind(), [("127.0.0.1", 8000)], "http://127.0.0.1:8000"),
        (Bind(host="localhost", port=0), [("::1", 5), ("127.0.0.1", 5)], "http://localhost:5"),
        (Bind(host=None, port=0), [("0.0.0.0", 6), ("::", 6)], "http://0.0.0.0:6"),
        (Bind(host="::1"), [("::1", 8000)], "http://[::1]:8000"),
        (Bind(uds="/run/x.sock"), ["/run/x.sock"], "unix socket /run/x.sock"),
        (Bind(fd=3), [("127.0.0.1", 7)], "socket ('127.0.0.1', 7)"),
    ],
)
def test_each_bind_has_its_words(
    caplog: pytest.LogCaptureFixture, bind: Bind, bound: list[Address], words: str
) -> None:
    caplog.set_level("INFO")
    log_running(logging.getLogger("x"), [bind, Bind(uds="last")], "http", [bound, ["last"]])
    assert caplog.messages == [
        f"Addax running on {words} (Press CTRL+C to quit)",
        "Addax running on unix socket last (Press CTRL+C to quit)",
    ]
    assert "\x1b[1m%s\x1b[0m" in caplog.records[0].color_message  # type: ignore[attr-defined]


def test_sockets_of_somebody_else_are_named_by_their_addresses(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log_running(logging.getLogger("x"), [], "https", [[("127.0.0.1", 5), ("::1", 6)], ["s"]])
    places = ("https://127.0.0.1:5", "https://[::1]:6", "unix socket s")
    assert caplog.messages == [f"Addax running on {place} (Press CTRL+C to quit)" for place in places]


@pytest.mark.parametrize(("tls", "scheme"), [(None, "https"), (True, "https"), (False, "http")])
def test_place_without_encryption_among_others(caplog: pytest.LogCaptureFixture, tls: bool | None, scheme: str) -> None:
    caplog.set_level("INFO")
    log_running(logging.getLogger("x"), [Bind(tls=tls)], "https", [[("127.0.0.1", 8000)]])
    assert caplog.messages == [f"Addax running on {scheme}://127.0.0.1:8000 (Press CTRL+C to quit)"]
