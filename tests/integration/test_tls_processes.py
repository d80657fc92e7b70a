"""TLS and processes: certificates that change under load, workers, restarts, upgrades, stops, mistakes at the start.

``ADDAX_TEST_REQUESTS=20000`` makes the loads below last until so many requests were answered.
"""

from __future__ import annotations

import json
import logging
import os
import re
import runpy
import signal
import socket
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import PATIENCE_S, make_server
from load_generator import LoadGenerator, LoadResult
from processes import adopting_orphans, until
from supervised import Caller, Supervised
from supervised_app import AppFolder
from tests.certificates import PASSWORD, Authority, Files

pytestmark = pytest.mark.network

REQUESTS_COUNT = int(os.environ.get("ADDAX_TEST_REQUESTS", "400"))
NAMES = ("localhost", "127.0.0.1")
QUICK = ("--timeout-keep-alive", "1", "--timeout-graceful-shutdown", "5")
CHANGED = "Took the changed certificate of "


@pytest.fixture
def certificates(authority: Authority) -> list[Files]:
    """Different ones for the same host: the dates differ by minutes."""
    return [authority.server(*NAMES, ends_in_s=29 * 86400.0 + 60 * number) for number in range(3)]


@pytest.fixture
def files(certificates: list[Files], tmp_path: Path) -> Files:
    """The first one, in files that may be changed."""
    folder = tmp_path / "tls"
    folder.mkdir()
    return certificates[0].copy_to(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For the application."""
    path = tmp_path / "app"
    path.mkdir()
    return path


def tls(files: Files) -> list[str]:
    return ["--ssl-certfile", str(files.certfile), "--ssl-keyfile", str(files.keyfile)]


def serial_of(files: Files) -> str:
    facts: dict[str, Any] = ssl._ssl._test_decode_cert(str(files.certfile))  # type: ignore[attr-defined]
    return str(facts["serialNumber"])


def put(source: Path, target: Path, *, in_one_step: bool = False) -> None:
    """Change a file: as ``mv`` does, or as ``cp`` does."""
    place = target.with_suffix(".new") if in_one_step else target
    place.write_bytes(source.read_bytes())
    if in_one_step:
        place.replace(target)


def serials(server: Supervised, count: int) -> set[str]:
    """What so many new connections are shown."""
    found = set()
    for _ in range(count):
        with server.caller() as caller:
            caller.get("/pid")
            found.add(caller.serial)
    return found


def checked(result: LoadResult) -> LoadResult:
    print(result.summary())
    assert result.failed_count == 0, result.summary()
    return result


# ---- certificates that change


def test_certificate_that_changes_under_load_fails_no_request(
    folder: Path,
    authority: Authority,
    certificates: list[Files],
    files: Files,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # In a thread, where changes can be looked for more often.
    monkeypatch.setattr("addax.net.tls_watch.LOOK_S", 0.02)
    caplog.set_level(logging.INFO, "addax.error")
    app = runpy.run_path(str(AppFolder(folder).path / "app.py"))["app"]
    context = authority.client_context()

    def failures_count() -> int:
        texts = [record.getMessage() for record in list(caplog.records)]
        return sum("cannot be used, the old ones stay in use" in text for text in texts)

    def shown_serial(address: tuple[str, int]) -> str:
        with Caller(address, tls=context) as new:
            new.get("/pid")
            return new.serial

    server = make_server(app, ssl_certfile=files.certfile, ssl_keyfile=files.keyfile)
    with server.run_in_thread():
        address = ("127.0.0.1", int(server.addresses[0][1]))
        with (
            LoadGenerator(address, cafile=str(authority.file), is_process=True) as load,
            Caller(address, tls=context) as old,
        ):
            old.get("/pid")
            load.wait_for_count(50)
            for turn in range(1, 9):
                source = certificates[turn % 3]
                # As mv does, and as cp does.
                in_one_step = bool(turn % 2)
                before = failures_count()
                put(source.certfile, files.certfile, in_one_step=in_one_step)
                if turn % 4 == 0:
                    until(lambda: failures_count() > before, PATIENCE_S, lambda: caplog.text)  # noqa: B023
                put(source.keyfile, files.keyfile, in_one_step=in_one_step)
                until(
                    lambda: shown_serial(address) == serial_of(source),  # noqa: B023
                    PATIENCE_S,
                    lambda: caplog.text,
                )
                old.get("/pid")
                assert old.serial == serial_of(certificates[0])
            load.wait_for_count(REQUESTS_COUNT, patience_s=600)
            result = load.stop()
    checked(result)


def test_workers_take_a_certificate_when_it_and_its_key_are_there(
    folder: Path, authority: Authority, certificates: list[Files], files: Files
) -> None:
    with Supervised(folder, *tls(files), "--timeout-keep-alive", "30", tls=authority.client_context()) as server:
        server.wait_for_workers(2)
        with LoadGenerator(server.address, cafile=str(authority.file), is_process=True) as load, server.caller() as old:
            old.get("/pid")
            # The key comes when the certificate alone has been looked at, and was of no use.
            put(certificates[1].certfile, files.certfile)
            server.wait_for("cannot be used, the old ones stay in use", 2)
            assert serials(server, 4) == {serial_of(certificates[0])}
            old.get("/pid")
            put(certificates[1].keyfile, files.keyfile)
            server.wait_for(CHANGED, 2)
            assert serials(server, 8) == {serial_of(certificates[1])}
            # This connection has lived through all of it.
            assert old.get("/?n=1") == b"1 "
            assert old.serial == serial_of(certificates[0])
            load.wait_for_count(REQUESTS_COUNT, patience_s=600)
            result = load.stop()
        checked(result)
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not server.count_lines("Traceback")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_hangup_reads_the_certificates_of_a_single_process_anew(
    folder: Path, authority: Authority, certificates: list[Files], files: Files, loop: str
) -> None:
    options = [*tls(files), "--loop", loop]
    with Supervised(folder, *options, workers=None, tls=authority.client_context()) as server:
        server.wait_for("Addax running on")
        with server.caller() as old:
            old.get("/pid")
            # Nothing has changed, and it is done all the same.
            server.send_signal(signal.SIGHUP)
            server.wait_for("Received SIGHUP, reading the certificates anew.")
            server.wait_for("Took the changed certificate of")
            put(certificates[1].keyfile, files.keyfile, in_one_step=True)
            server.send_signal(signal.SIGHUP)
            server.wait_for("cannot be used, the old ones stay in use")
            assert serials(server, 1) == {serial_of(certificates[0])}
            put(certificates[1].certfile, files.certfile, in_one_step=True)
            server.send_signal(signal.SIGHUP)
            server.wait_for("Took the changed certificate of", 2)
            assert serials(server, 1) == {serial_of(certificates[1])}
            old.get("/pid")
            assert old.serial == serial_of(certificates[0])
        server.send_signal(signal.SIGTERM)
        assert server.wait() == -signal.SIGTERM
        assert not server.count_lines("Traceback")


def test_restart_with_a_certificate_that_cannot_be_used_leaves_the_old_workers(
    folder: Path, authority: Authority, certificates: list[Files], files: Files
) -> None:
    with Supervised(folder, *tls(files), tls=authority.client_context()) as server:
        old = server.wait_for_workers(2)
        with server.caller() as caller:
            caller.get("/pid")
            files.keyfile.write_text("no key\n")
            server.send_signal(signal.SIGHUP)
            server.wait_for("holds no private key in PEM form")
            server.wait_for("Restart failed: child process [")
            assert set(server.wait_for_workers(2)) == set(old)
            assert serials(server, 4) == {serial_of(certificates[0])}
            caller.get("/pid")
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0


def test_restarts_under_load_fail_no_request(
    folder: Path, authority: Authority, certificates: list[Files], files: Files
) -> None:
    pid_file = folder / "addax.pid"
    options = [*QUICK, *tls(files), "--pid-file", str(pid_file)]
    with adopting_orphans(), Supervised(folder, *options, tls=authority.client_context()) as server:
        server.wait_for("Addax running on")
        with LoadGenerator(server.address, cafile=str(authority.file), is_process=True) as load:
            load.wait_for_count(100)
            server.app.write("2")
            put(certificates[1].certfile, files.certfile, in_one_step=True)
            put(certificates[1].keyfile, files.keyfile, in_one_step=True)
            server.send_signal(signal.SIGHUP)
            server.wait_for("Restart complete")
            load.wait_for_more(50)
            assert serials(server, 4) == {serial_of(certificates[1])}
            old = server.pid
            server.send_signal(signal.SIGUSR2)
            server.wait_for("is ready")
            server.adopt(int(pid_file.read_text()))
            assert server.wait_for_supervisor(old) == 0
            load.wait_for_more(50)
            load.wait_for_count(REQUESTS_COUNT, patience_s=600)
            load.expect_end()
            server.send_signal(signal.SIGTERM)
            assert server.wait_for_supervisor() == 0
            result = load.stop()
        checked(result)
        server.process.wait(PATIENCE_S)


# ---- the end


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_stop_under_load_answers_what_was_accepted(folder: Path, authority: Authority, files: Files, loop: str) -> None:
    with Supervised(folder, *tls(files), "--loop", loop, workers=None) as server:
        server.wait_for("Addax running on")
        with LoadGenerator(server.address, cafile=str(authority.file)) as load:
            load.wait_for_count(300)
            load.expect_end()
            server.send_signal(signal.SIGTERM)
            assert server.wait() == -signal.SIGTERM
            result = load.wait()
    checked(result)
    assert result.outcomes["answered"] >= 300
    assert server.messages()[-1].startswith("Finished server process [")
    assert not [line for line in server.lines if "Cancel" in line or "Break off" in line or "Error" in line]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_stop_finishes_a_slow_answer_and_says_so(
    folder: Path, authority: Authority, files: Files, version: ssl.TLSVersion
) -> None:
    context = authority.client_context()
    context.maximum_version = version
    with Supervised(folder, *tls(files), workers=None) as server:
        address = server.address
        with (
            socket.create_connection(address, PATIENCE_S) as plain,
            # With what is the default elsewhere, an end without close_notify looks like an end.
            context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as client,
        ):
            client.sendall(b"GET /stream?n=1&s=0.1 HTTP/1.1\r\nHost: test\r\n\r\n")
            data = client.recv(65536)
            server.send_signal(signal.SIGTERM)
            server.wait_for("Shutting down")
            while piece := client.recv(65536):
                data += piece
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        assert data.endswith(b"1 part 2\n\r\n0\r\n\r\n")
        assert server.wait() == -signal.SIGTERM


# ---- mistakes


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> dict[str, str]:
    """Files by what is wrong with them."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "rubbish.pem").write_text("rubbish\n")
    good, secret = authority.server(*NAMES), authority.server(*NAMES, password=PASSWORD)
    return {
        "good": str(good.certfile),
        "key": str(good.keyfile),
        "other key": str(authority.server("other.test").keyfile),
        "secret": str(secret.certfile),
        "secret key": str(secret.keyfile),
        "rubbish": str(folder / "rubbish.pem"),
        "missing": str(folder / "missing.pem"),
    }


MISTAKES: list[tuple[Sequence[str], str]] = [
    (("--ssl-certfile", "{missing}"), "ssl-certfile: '{missing}' cannot be read: No such file or directory"),
    (("--ssl-certfile", "{rubbish}"), "ssl-certfile: '{rubbish}' holds no certificate in PEM form"),
    (("--ssl-certfile", "{good}"), "ssl-keyfile: is needed: '{good}' holds no private key"),
    (("--ssl-certfile", "{good}", "--ssl-keyfile", "{other key}"), "ssl-keyfile: the private key in '{other key}'"),
    (
        ("--ssl-certfile", "{secret}", "--ssl-keyfile", "{secret key}", "--ssl-keyfile-password", "wrong"),
        "ssl-keyfile-password: is wrong for the private key in '{secret key}'",
    ),
    (("{tls}", "--ssl-ca-certs", "{rubbish}"), "ssl-ca-certs: '{rubbish}': holds no certificates in PEM form"),
    (("{tls}", "--ssl-extra-cert", "{good},{missing}"), "ssl-extra-cert: '{missing}' cannot be read"),
]


@pytest.mark.parametrize(
    ("options", "said", "workers"),
    [(*mistake, None) for mistake in MISTAKES] + [(*mistake, 2) for mistake in MISTAKES[:1] + MISTAKES[4:5]],
)
def test_mistake_ends_the_start_with_2_before_the_application_is_imported(
    folder: Path, bad: dict[str, str], options: Sequence[str], said: str, workers: int | None
) -> None:
    good = ("--ssl-certfile", bad["good"], "--ssl-keyfile", bad["key"])
    filled = [part for option in options for part in (good if option == "{tls}" else (option.format(**bad),))]
    app = AppFolder(folder)
    app.set_import("fail")
    with Supervised(app, *filled, workers=workers) as server:
        assert server.wait() == 2
        text = "\n".join(server.lines)
    assert f"--{said.format(**bad)}" in text
    assert "import" not in text.replace("'import", "")
    assert "Traceback" not in text


def test_password_opens_the_key(folder: Path, authority: Authority) -> None:
    secret = authority.server(*NAMES, password=PASSWORD)
    options = [*tls(secret), "--ssl-keyfile-password", PASSWORD]
    with Supervised(folder, *options, workers=None, tls=authority.client_context()) as server:
        assert serials(server, 1) == {serial_of(secret)}


# ---- several places


def places(server: Supervised) -> list[str]:
    server.wait_for("Addax running on", 3)
    found = (re.search(r"Addax running on (.*) \(Press", line) for line in server.lines)
    return [match[1] for match in found if match is not None]


def curl(authority: Authority, *args: str) -> str:
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--cacert", str(authority.file), *args]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("workers", [None, 2])
def test_clear_and_encrypted_places_stay_what_they_are(
    folder: Path, authority: Authority, files: Files, workers: int | None
) -> None:
    path = folder / "s"
    binds = ["127.0.0.1:0?tls=off", f"unix:{path}?tls=off", "127.0.0.1:0"]
    pid_file = folder / "addax.pid"
    listen = [part for bind in binds for part in ("--bind", bind)]
    options = [*QUICK, *tls(files), *listen, "--http-redirect", "--forwarded-allow-ips", "unix:"]
    with adopting_orphans(), Supervised(folder, *options, "--pid-file", str(pid_file), workers=workers) as server:
        clear, unix, encrypted = places(server)
        assert clear.startswith("http://127.0.0.1:")
        assert unix == f"unix socket {path}"
        assert encrypted.startswith("https://127.0.0.1:")

        def look(version: str) -> None:
            for target in (f"{clear}/tls?a=%20b", f"{encrypted}/tls?a=%20b"):
                said = curl(authority, "--location", "--write-out", "\n%{url_effective} %{num_redirects}", target)
                body, _, after = said.rpartition("\n")
                assert json.loads(body)[0] == "https"
                assert after == f"{encrypted}/tls?a=%20b {int(target.startswith(clear))}"
            assert "308 Permanent Redirect" in curl(authority, "--head", f"{clear}/tls")
            # There is a proxy at the other end, which says how its client has come.
            asked = ("--unix-socket", str(path), "http://localhost/version")
            assert "308 Permanent Redirect" in curl(authority, "--head", *asked)
            assert curl(authority, "--header", "X-Forwarded-Proto: https", *asked) == version

        look("1")
        if workers is None:
            return
        server.app.write("2")
        server.send_signal(signal.SIGHUP)
        server.wait_for("Restart complete")
        look("2")
        old = server.pid
        server.app.write("3")
        server.send_signal(signal.SIGUSR2)
        server.wait_for("is ready")
        server.adopt(int(pid_file.read_text()))
        assert server.wait_for_supervisor(old) == 0
        look("3")
        server.send_signal(signal.SIGTERM)
        assert server.wait_for_supervisor() == 0
        server.process.wait(PATIENCE_S)


@pytest.mark.parametrize("workers", [None, 2])
def test_sockets_that_were_passed_are_encrypted_or_clear(
    folder: Path, authority: Authority, files: Files, workers: int | None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        fds = (first.fileno(), second.fileno())
        binds = ["--bind", f"fd://{fds[0]}?tls=off", "--bind", f"fd://{fds[1]}"]
        with Supervised(folder, *tls(files), *binds, workers=workers, pass_fds=fds) as server:
            server.wait_for("Addax running on socket", 2)
            clear, encrypted = (sock.getsockname()[1] for sock in (first, second))
            assert json.loads(curl(authority, f"http://127.0.0.1:{clear}/tls"))[0] == "http"
            assert json.loads(curl(authority, f"https://127.0.0.1:{encrypted}/tls"))[0] == "https"
