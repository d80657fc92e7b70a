"""``net.listen``, ``net.unix_socket`` and ``net.port_owner``: real sockets, no loop."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from addax.core.errors import ConfigError, StartupError
from addax.core.settings import Bind, ListenSettings
from addax.net import listen, port_owner, tcp_socket, unix_socket
from addax.net.listen import Listener


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


HAS_IPV6 = _has_ipv6()
LOOPBACKS = [("127.0.0.1", socket.AF_INET)] + [("::1", socket.AF_INET6)] * HAS_IPV6


@pytest.fixture
def opened() -> Iterator[list[Listener]]:
    """Listeners that the test has opened."""
    listeners: list[Listener] = []
    yield listeners
    for listener in listeners:
        listener.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working directory for short socket paths: a path longer than about 100 bytes cannot be bound."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def at(reuse_port: bool = False, backlog: int = 2048, **bind: Any) -> ListenSettings:
    """One bind."""
    return ListenSettings((Bind(**bind),), backlog, reuse_port)


def open_on(opened: list[Listener], **settings: Any) -> Listener:
    listener = listen.open_listener(at(**settings))
    opened.append(listener)
    return listener


def answer_from(address: Any, family: int = socket.AF_INET) -> None:
    with socket.create_connection(address) if family != socket.AF_UNIX else socket.socket(socket.AF_UNIX) as client:
        if family == socket.AF_UNIX:
            client.connect(address)


def fake_names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def getaddrinfo(host: str, port: int, **options: Any) -> list[Any]:
        assert options["flags"] == socket.AI_PASSIVE
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


# ---- TCP


@pytest.mark.parametrize(("host", "family"), LOOPBACKS)
def test_open_listener_on_a_loopback_address_listens_there(
    opened: list[Listener], host: str, family: socket.AddressFamily
) -> None:
    listener = open_on(opened, host=host, port=0)
    (sock,) = listener.sockets
    assert sock.family == family
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
    assert not sock.get_inheritable()
    assert listener.addresses == [(host, sock.getsockname()[1])]
    answer_from(listener.addresses[0])


@pytest.mark.parametrize("host", ["::", "", None])
def test_open_listener_on_all_addresses_shows_ipv4_clients_as_ipv4(opened: list[Listener], host: str | None) -> None:
    listener = open_on(opened, host=host, port=0)
    assert len({address[1] for address in listener.addresses}) == 1
    by_family = {sock.family: sock for sock in listener.sockets}
    assert len(by_family) == 1 + HAS_IPV6
    port = listener.addresses[0][1]
    with socket.create_connection(("127.0.0.1", int(port))):
        connection, peer = by_family[socket.AF_INET].accept()
        connection.close()
    assert peer[0] == "127.0.0.1"


def test_resolve_of_all_addresses_requires_ipv6_only_where_it_was_asked_for() -> None:
    by_name = {host: listen.resolve(at(host=host, port=80))[0] for host in ("::", None)}
    assert [(t.address[0], t.optional) for t in by_name["::"]] == [("::", False), ("0.0.0.0", True)]
    assert [(t.address[0], t.optional) for t in by_name[None]] == [("0.0.0.0", True), ("::", True)]


def test_open_listener_on_a_name_binds_every_address_once_on_one_port(
    opened: list[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_names(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.1")
    listener = open_on(opened, host="several.test", port=0)
    (first, port), (second, same_port) = listener.addresses
    assert (first, second) == ("127.0.0.1", "127.0.0.2")
    assert port == same_port != 0


def test_open_listener_skips_an_address_that_the_machine_lacks(
    opened: list[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_names(monkeypatch, "192.0.2.1", "127.0.0.1")  # the first is reserved for documentation (RFC 5737)
    assert [host for host, _ in open_on(opened, host="several.test", port=0).addresses] == ["127.0.0.1"]


def test_open_listener_with_no_address_that_the_machine_has_fails() -> None:
    with pytest.raises(StartupError, match=rf"^\[Errno {errno.EADDRNOTAVAIL}\] .* address \('192\.0\.2\.1', 0\): "):
        listen.open_listener(at(host="192.0.2.1", port=0))


def test_open_listener_without_ipv6_fails_only_where_it_was_asked_for(
    opened: list[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.socket

    def no_ipv6(family: int = -1, *args: Any, **kwargs: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *args, **kwargs)

    monkeypatch.setattr(socket, "socket", no_ipv6)
    assert [host for host, _ in open_on(opened, host=None, port=0).addresses] == ["0.0.0.0"]
    with pytest.raises(StartupError, match="not supported"):
        listen.open_listener(at(host="::", port=0))


def test_open_listener_with_port_0_looks_for_a_port_that_is_free_everywhere(
    opened: list[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_names(monkeypatch, "127.0.0.1", "127.0.0.2")
    real, refused = tcp_socket._bind, []

    def taken_twice(family: int, address: tuple[Any, ...], *rest: Any) -> socket.socket:
        if address[0] == "127.0.0.2" and len(refused) < 2:
            refused.append(address[1])
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return real(family, address, *rest)

    monkeypatch.setattr(tcp_socket, "_bind", taken_twice)
    (_, port), (_, same_port) = open_on(opened, host="several.test", port=0).addresses
    assert port == same_port
    assert len(refused) == 2


def test_open_listener_with_port_0_gives_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_names(monkeypatch, "127.0.0.1", "127.0.0.2")
    real, tries = tcp_socket._bind, []

    def taken(family: int, address: tuple[Any, ...], *rest: Any) -> socket.socket:
        if address[0] == "127.0.0.2":
            tries.append(address)
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return real(family, address, *rest)

    monkeypatch.setattr(tcp_socket, "_bind", taken)
    with pytest.raises(StartupError, match=r"\('127\.0\.0\.2', \d+\): address already in use"):
        listen.open_listener(at(host="several.test", port=0))
    assert len(tries) == tcp_socket._SAME_PORT_TRIES


def test_open_listener_on_a_taken_port_names_address_and_holder(opened: list[Listener]) -> None:
    port = int(open_on(opened, host="127.0.0.1", port=0).addresses[0][1])
    expected = (
        f"[Errno {errno.EADDRINUSE}] error while attempting to bind on address ('127.0.0.1', {port}): "
        "address already in use"
    )
    with pytest.raises(StartupError) as caught:
        listen.open_listener(at(host="127.0.0.1", port=port))
    assert str(caught.value).startswith(expected)
    if sys.platform == "linux":
        assert str(caught.value) == f"{expected} (held by this very process)"
    assert caught.value.exit_code == 3


HOLDER = """
import socket, sys
family, path = (socket.AF_INET, ("127.0.0.1", 0)) if len(sys.argv) < 2 else (socket.AF_UNIX, sys.argv[1])
sock = socket.socket(family); sock.bind(path); sock.listen()
print(sock.getsockname()[1] if family == socket.AF_INET else "-", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder_script(tmp_path: Path) -> Path:
    script = tmp_path / "holder.py"
    script.write_text(HOLDER)
    return script


@pytest.fixture
def start_holder(holder_script: Path) -> Iterator[Any]:
    """Start a foreign process that listens; returns it and its port."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, str(holder_script), *args]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in processes:
        process.communicate("", timeout=10)


def test_open_listener_on_a_port_of_another_process_names_it(start_holder: Any, holder_script: Path) -> None:
    process, port = start_holder()
    with pytest.raises(StartupError) as caught:
        listen.open_listener(at(port=int(port)))
    text = str(caught.value)
    assert "address already in use" in text
    assert "\n" not in text
    if sys.platform == "linux":
        assert f"(held by process {process.pid}: {sys.executable}"[:60] in text


def test_open_listener_on_a_privileged_port_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(family: int, address: tuple[Any, ...], *rest: Any) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tcp_socket, "_bind", refuse)
    with pytest.raises(StartupError, match=r"permission denied \(ports below 1024 need more rights\)$"):
        listen.open_listener(at(port=80))


def test_open_listener_on_a_link_local_address_says_that_it_needs_its_interface(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> socket.socket:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(tcp_socket, "_bind", refuse)
    hint = " (a link-local address needs its interface, as in fe80::1%eth0)"
    for address, expected in ((("fe80::1", 80, 0, 0), hint), (("fe80::1", 80, 0, 2), ""), (("fd00::1", 80, 0, 0), "")):
        with pytest.raises(StartupError) as caught:
            tcp_socket.bind_all([tcp_socket.Target(socket.AF_INET6, address, True)], 1, False)
        assert str(caught.value).endswith("invalid argument" + expected)


def test_open_listener_with_an_impossible_port_fails_in_one_line() -> None:
    target = tcp_socket.Target(socket.AF_INET, ("127.0.0.1", 99999), True)
    with pytest.raises(StartupError, match=r"\('127\.0\.0\.1', 99999\): .*0-65535"):
        listen.open_listener(at(), [[target]])


def test_resolve_of_an_unknown_name_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(StartupError, match=r"^cannot find the address of host 'nowhere': Name or service not known$"):
        listen.resolve(at(host="nowhere"))


def test_resolve_of_a_name_that_cannot_be_one_fails() -> None:
    with pytest.raises(StartupError, match="cannot find the address of host"):
        listen.resolve(at(host="a" * 70 + ".test"))


@pytest.mark.parametrize("settings", [{"uds": "/x"}, {"fd": 3}])
def test_resolve_of_something_else_than_a_host_is_empty(settings: dict[str, Any]) -> None:
    assert listen.resolve(at(**settings)) == [[]]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
        ({"host": "::"}, False),
        ({"host": None}, False),
        ({"host": ""}, False),
        ({"host": "localhost"}, True),
        ({"host": "a" * 70 + ".test"}, True),
        ({"host": "localhost", "uds": "/x"}, False),
        ({"host": "localhost", "fd": 3}, False),
    ],
)
def test_needs_lookup_only_for_names(settings: dict[str, Any], expected: bool) -> None:
    assert listen.needs_lookup(at(**settings)) is expected


def test_check_free_leaves_the_address_free(opened: list[Listener]) -> None:
    port = int(open_on(opened, port=0).addresses[0][1])
    opened.pop().close()
    settings = at(port=port)
    listen.check_free(settings, listen.resolve(settings))
    assert open_on(opened, port=port).addresses == [("127.0.0.1", port)]
    with pytest.raises(StartupError, match="already in use"):
        listen.check_free(settings, listen.resolve(settings))


# ---- Unix sockets


def mode_of(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def leave_stale_file(path: Path, mode: int) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path.name)
    os.chmod(path, mode)


@pytest.mark.parametrize(("uds_mode", "expected"), [(None, 0o666), (0o600, 0o600), (0o660, 0o660)])
def test_uds_has_the_mode_that_was_asked_for_whatever_the_umask(
    opened: list[Listener], folder: Path, uds_mode: int | None, expected: int
) -> None:
    old = os.umask(0o077)
    try:
        listener = open_on(opened, uds="s", uds_mode=uds_mode)
    finally:
        os.umask(old)
    assert mode_of(folder / "s") == expected
    assert listener.addresses == ["s"]
    answer_from("s", socket.AF_UNIX)


@pytest.mark.parametrize(("uds_mode", "expected"), [(None, 0o640), (0o600, 0o600)])
def test_uds_replaces_a_stale_file_and_keeps_its_mode(
    opened: list[Listener], folder: Path, uds_mode: int | None, expected: int
) -> None:
    leave_stale_file(folder / "s", 0o640)
    listen.check_free(at(uds="s"), [[]])
    assert (folder / "s").exists()
    open_on(opened, uds="s", uds_mode=uds_mode)
    assert mode_of(folder / "s") == expected
    answer_from("s", socket.AF_UNIX)


def test_uds_of_a_live_server_is_refused_and_left_alone(opened: list[Listener], folder: Path) -> None:
    open_on(opened, uds="s")
    inode = os.lstat("s").st_ino
    for attempt in (lambda: listen.open_listener(at(uds="s")), lambda: unix_socket.check_path("s")):
        with pytest.raises(StartupError) as caught:
            attempt()
        text = str(caught.value)
        assert text.startswith(f"[Errno {errno.EADDRINUSE}] error while attempting to bind on address 's': ")
        assert "a live server answers there" in text
        if sys.platform == "linux":
            assert text.endswith("(held by this very process)")
    assert os.lstat("s").st_ino == inode
    answer_from("s", socket.AF_UNIX)


def test_uds_of_another_process_names_it(start_holder: Any, folder: Path) -> None:
    process, _ = start_holder("s")
    with pytest.raises(StartupError) as caught:
        listen.open_listener(at(uds="s"))
    if sys.platform == "linux":
        assert f"held by process {process.pid}: " in str(caught.value)


def test_uds_of_a_live_server_with_a_full_backlog_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix_socket, "_PROBE_S", 0.05)
    clients = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        server.listen(0)
        for _ in range(8):
            client = socket.socket(socket.AF_UNIX)
            clients.append(client)
            client.setblocking(False)
            try:
                client.connect("s")
            except BlockingIOError:
                break
        with pytest.raises(StartupError, match=r"a live server answers there$"):
            listen.open_listener(at(uds="s"))
        for client in clients:
            client.close()


@pytest.mark.parametrize("attempt", [lambda: listen.open_listener(at(uds="s")), lambda: unix_socket.check_path("s")])
def test_uds_where_something_else_is_refuses_to_replace_it(folder: Path, attempt: Any) -> None:
    (folder / "s").write_text("precious")
    with pytest.raises(StartupError, match=r"^cannot listen on 's': the file exists and is not a socket$"):
        attempt()
    assert (folder / "s").read_text() == "precious"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/s", r"^\[Errno 2\] error while attempting to bind on address 'missing/s': no such file"),
        ("x" * 200, "error while attempting to bind on address .*too long"),
        ("a\0b", "error while attempting to bind on address .*null"),
    ],
)
def test_uds_at_an_impossible_path_fails_in_one_line(folder: Path, path: str, reason: str) -> None:
    with pytest.raises(StartupError, match=reason):
        listen.open_listener(at(uds=path))


def test_check_path_that_cannot_be_looked_at_fails_in_one_line(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(StartupError, match="not a directory"):
        unix_socket.check_path("file/s")


def test_uds_on_a_platform_without_them_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(StartupError, match="this platform has no Unix sockets"):
        listen.open_listener(at(uds="s"))


def test_close_removes_our_socket_file_also_from_another_directory(
    opened: list[Listener], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = open_on(opened, uds="s")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    listener.remove_files()
    assert not (folder / "s").exists()
    listener.close()
    assert [sock.fileno() for sock in listener.sockets] == [-1]


def test_close_leaves_a_successors_socket_file(opened: list[Listener], folder: Path) -> None:
    ours = open_on(opened, uds="s")
    os.unlink("s")
    theirs = open_on(opened, uds="s")
    ours.close()
    answer_from("s", socket.AF_UNIX)
    theirs.close()
    assert not (folder / "s").exists()
    theirs.close()


def test_a_bind_that_fails_half_way_leaves_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    with pytest.raises(StartupError, match="operation not permitted"):
        listen.open_listener(at(uds="s"))
    assert list(folder.iterdir()) == []


def test_close_survives_a_socket_file_that_is_gone(opened: list[Listener], folder: Path) -> None:
    listener = open_on(opened, uds="s")
    os.unlink("s")
    listener.close()
    assert list(folder.iterdir()) == []


def test_two_servers_that_start_at_once_do_not_take_each_others_file(folder: Path) -> None:
    for _ in range(20):
        leave_stale_file(folder / "s", 0o600)
        barrier = threading.Barrier(2)
        outcomes: list[Listener | StartupError] = []

        def start(barrier: threading.Barrier = barrier, outcomes: list[Any] = outcomes) -> None:
            barrier.wait()
            try:
                outcomes.append(listen.open_listener(at(uds="s")))
            except StartupError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=start) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Listener)]
        (loser,) = [outcome for outcome in outcomes if isinstance(outcome, StartupError)]
        assert "a live server answers there" in str(loser)
        answer_from("s", socket.AF_UNIX)
        winner.close()


def test_a_lock_that_never_comes_delays_the_start_only_a_little(
    opened: list[Listener], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_socket, "_LOCK_S", 0.05)
    descriptor = os.open(".", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        open_on(opened, uds="s")
    finally:
        os.close(descriptor)
    answer_from("s", socket.AF_UNIX)


def test_a_file_system_without_locks_is_no_obstacle(
    opened: list[Listener], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    open_on(opened, uds="s")
    answer_from("s", socket.AF_UNIX)


def test_the_peer_of_a_probe_is_looked_up_on_linux_only(
    opened: list[Listener], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_on(opened, uds="s")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(StartupError, match=r"a live server answers there$"):
        unix_socket.check_path("s")


# ---- descriptors


@pytest.mark.parametrize("is_listening", [True, False])
def test_fd_of_a_bound_socket_is_adopted(opened: list[Listener], is_listening: bool) -> None:
    with socket.socket() as parent:
        parent.bind(("127.0.0.1", 0))
        if is_listening:
            parent.listen()
        listener = open_on(opened, fd=parent.fileno())
        assert listener.addresses == [parent.getsockname()]
        answer_from(parent.getsockname())
        listener.close()
        assert parent.getsockname()[1] != 0  # the caller's descriptor stays open


def test_fd_of_a_unix_socket_keeps_its_family_and_its_file(opened: list[Listener], folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as parent:
        parent.bind("s")
        listener = open_on(opened, fd=parent.fileno())
        assert listener.sockets[0].family == socket.AF_UNIX
        assert listener.addresses == ["s"]
        listener.close()
    assert (folder / "s").exists()


def test_abstract_socket_is_shown_as_other_programs_show_it() -> None:
    assert listen.describe(Bind(fd=3), ["\0name"], "http") == ("socket ", "@name")


def test_addresses_of_a_socket_without_a_file_are_text(opened: list[Listener]) -> None:
    if sys.platform == "linux":  # elsewhere every Unix socket has a file
        with socket.socket(socket.AF_UNIX) as parent:
            name = f"\0addax-test-{os.getpid()}"
            parent.bind(name)
            assert open_on(opened, fd=parent.fileno()).addresses == [name]


def test_check_free_of_a_fd_judges_it_without_making_it_listen() -> None:
    with socket.socket() as parent:
        parent.bind(("127.0.0.1", 0))
        listen.check_free(at(fd=parent.fileno()), [[]])
        assert parent.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0


def refused_fd(fd: int) -> str:
    with pytest.raises(StartupError) as caught:
        listen.open_listener(at(fd=fd))
    prefix = f"cannot listen on file descriptor {fd}: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value)[len(prefix) :]


def test_fd_that_is_not_open_is_refused() -> None:
    assert refused_fd(10**6) == os.strerror(errno.EBADF)
    assert refused_fd(10**30) != ""


def test_fd_of_a_file_is_refused() -> None:
    with open(os.devnull) as file:
        assert refused_fd(file.fileno()) == os.strerror(errno.ENOTSOCK)


def test_fd_of_the_wrong_kind_of_socket_is_refused() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        assert refused_fd(datagrams.fileno()) == "it is not a stream socket"
    with socket.socket() as unbound:
        assert refused_fd(unbound.fileno()) == "it is bound to no address"
    with socket.socket(socket.AF_UNIX) as unbound:
        assert refused_fd(unbound.fileno()) == "it is bound to no address"
    left, right = socket.socketpair()
    with left, right:
        assert refused_fd(left.fileno()) == "it is a connection, not a listening socket"


def test_fd_that_cannot_be_made_to_listen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, backlog: int = 0) -> None:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    with socket.socket() as parent:
        parent.bind(("127.0.0.1", 0))
        monkeypatch.setattr(socket.socket, "listen", refuse)
        assert refused_fd(parent.fileno()) == "Address already in use"


# ---- who holds a port


def make_proc(
    tmp_path: Path, tcp: str = "", tcp6: str = "", processes: dict[int, tuple[int, bytes]] | None = None
) -> str:
    (tmp_path / "net").mkdir()
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    (tmp_path / "net" / "tcp").write_text(head + tcp)
    if tcp6:
        (tmp_path / "net" / "tcp6").write_text(head + tcp6)
    for pid, (inode, command) in (processes or {}).items():
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "fd" / "0").write_text("not a link")
        (tmp_path / str(pid) / "fd" / "3").symlink_to(f"socket:[{inode}]")
        (tmp_path / str(pid) / "cmdline").write_bytes(command)
    return str(tmp_path)


def row(address: bytes, port: int, inode: int, uid: int = 0, state: str = "0A") -> str:
    words = (int.from_bytes(address[i : i + 4], sys.byteorder) for i in range(0, len(address), 4))
    local = "".join(f"{word:08X}" for word in words)
    return (
        f"   0: {local}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid:5d} 0 {inode} 1\n"
    )


IPV4 = socket.inet_pton(socket.AF_INET, "127.0.0.1")
ANY_IPV4 = bytes(4)
IPV6 = socket.inet_pton(socket.AF_INET6, "fe80::1")
ANY_IPV6 = bytes(16)


@pytest.mark.parametrize(
    ("family", "host", "tcp", "tcp6", "is_found"),
    [
        (socket.AF_INET, "127.0.0.1", row(IPV4, 8000, 7), "", True),
        (socket.AF_INET, "127.0.0.1", row(ANY_IPV4, 8000, 7), "", True),
        (socket.AF_INET, "0.0.0.0", row(IPV4, 8000, 7), "", True),
        (socket.AF_INET, "127.0.0.1", "", row(ANY_IPV6, 8000, 7), True),
        (socket.AF_INET, "127.0.0.1", "", row(IPV6, 8000, 7), False),
        (socket.AF_INET, "127.0.0.2", row(IPV4, 8000, 7), "", False),
        (socket.AF_INET, "127.0.0.1", row(IPV4, 8001, 7), "", False),
        (socket.AF_INET, "127.0.0.1", row(IPV4, 8000, 7, state="01"), "", False),
        (socket.AF_INET, "127.0.0.1", "garbage\n", "", False),
        (socket.AF_INET6, "fe80::1%eth0", "", row(IPV6, 8000, 7), True),
        (socket.AF_INET6, "fe80::1", row(IPV4, 8000, 7), "", False),
        (socket.AF_INET, "no address", row(IPV4, 8000, 7), "", False),
    ],
)
def test_describe_port_finds_the_listener_that_is_in_the_way(
    tmp_path: Path, family: int, host: str, tcp: str, tcp6: str, is_found: bool
) -> None:
    proc = make_proc(tmp_path, tcp, tcp6, {9: (8, b"other\0"), 12: (7, b"nginx\0-g\0daemon off;\0--secret\0")})
    found = port_owner.describe_port(family, host, 8000, proc)
    assert found == (" (held by process 12: nginx -g daemon off;)" if is_found else "")


def test_describe_port_of_a_hidden_process_names_its_user(tmp_path: Path) -> None:
    import pwd

    proc = make_proc(tmp_path, row(IPV4, 8000, 7, uid=0) + row(IPV4, 8001, 7, uid=987654))
    expected = f" (held by a process of user {pwd.getpwuid(0).pw_name})"
    assert port_owner.describe_port(socket.AF_INET, "127.0.0.1", 8000, proc) == expected
    assert port_owner.describe_port(socket.AF_INET, "127.0.0.1", 8001, proc) == " (held by a process of user 987654)"


def test_describe_port_takes_the_lowest_process_of_those_that_share_the_socket(tmp_path: Path) -> None:
    proc = make_proc(tmp_path, row(IPV4, 8000, 7), processes={110: (7, b"worker"), 95: (7, b"parent")})
    (tmp_path / "90").mkdir()  # a process whose descriptors cannot be looked at
    assert port_owner.describe_port(socket.AF_INET, "127.0.0.1", 8000, proc) == " (held by process 95: parent)"


def test_describe_port_gives_up_when_the_search_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_owner, "SEARCH_S", -1.0)
    proc = make_proc(tmp_path, row(IPV4, 8000, 7, uid=987654), processes={12: (7, b"nginx")})
    assert port_owner.describe_port(socket.AF_INET, "127.0.0.1", 8000, proc) == " (held by a process of user 987654)"


def test_describe_port_without_proc_says_nothing(tmp_path: Path) -> None:
    assert port_owner.describe_port(socket.AF_INET, "127.0.0.1", 8000, str(tmp_path / "none")) == ""


def test_describe_port_survives_a_process_table_that_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc = make_proc(tmp_path, row(IPV4, 8000, 7, uid=987654))

    def vanish(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "listdir", vanish)
    assert port_owner.describe_port(socket.AF_INET, "127.0.0.1", 8000, proc) == " (held by a process of user 987654)"


def test_describe_path_takes_the_lowest_process_of_those_that_share_the_socket(tmp_path: Path) -> None:
    proc = make_proc(tmp_path, processes={110: (7, b"worker"), 95: (7, b"parent"), 90: (8, b"other"), 120: (9, b"new")})
    assert port_owner.describe_path("/run/a b.sock", 110, proc) == " (held by process 110: worker)"
    (tmp_path / "net" / "unix").write_text(
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01     7 /run/a b.sock\n"
        # Another one of that name; a connection to it; somebody without a name.
        "0000000000000000: 00000002 00000000 00010000 0001 01     8 a b.sock\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03     9 /run/a b.sock\n"
        "0000000000000000: 00000003 00000000 00010000 0001 01    10\n"
    )
    assert port_owner.describe_path("../run/a b.sock", 110, proc) == " (held by process 95: parent)"
    assert port_owner.describe_path("/run/a b.sock", 120, proc) == " (held by process 120: new)"
    assert port_owner.describe_path("/run/c.sock", 110, proc) == " (held by process 110: worker)"


def test_describe_process_shows_nothing_that_harms_a_terminal(tmp_path: Path) -> None:
    proc = make_proc(tmp_path, processes={12: (7, b"\x1b[2Jx\xff\0" + b"y" * 200)})
    text = port_owner.describe_process(12, proc)
    assert text.startswith(" (held by process 12: ?[2Jx\ufffd yyy")
    assert len(text) < 120
    assert port_owner.describe_process(13, proc) == " (held by process 13)"


# ---- several binds


def several(*binds: Bind, reuse_port: bool = False) -> ListenSettings:
    return ListenSettings(binds, reuse_port=reuse_port)


def test_all_binds_listen_together(opened: list[Listener], folder: Path) -> None:
    settings = several(Bind(port=0), Bind(uds="a", uds_mode=0o600), Bind(host=None, port=0), Bind(uds="b"))
    listener = listen.open_listener(settings)
    opened.append(listener)
    first, a, every, b = listener.bound
    assert (a, b) == (["a"], ["b"])
    assert len(every) == 1 + HAS_IPV6
    assert len({address[1] for address in every}) == 1
    assert first[0][1] != every[0][1]
    assert listener.addresses == [*first, *a, *every, *b]
    assert (mode_of(folder / "a"), mode_of(folder / "b")) == (0o600, 0o666)
    for address in first + every:
        answer_from(("::1" if ":" in str(address[0]) else "127.0.0.1", address[1]))
    answer_from("a", socket.AF_UNIX)
    listener.close()
    assert list(folder.iterdir()) == []


def test_a_bind_that_fails_gives_back_what_was_opened_before_it(folder: Path, opened: list[Listener]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    taken = int(open_on(opened, port=0).addresses[0][1])
    settings = several(Bind(port=port), Bind(uds="a"), Bind(host="localhost", port=taken))
    with pytest.raises(StartupError, match=rf"^--bind localhost:{taken}: \[Errno {errno.EADDRINUSE}\] error while"):
        listen.open_listener(
            settings, [*listen.resolve(several(*settings.binds[:2])), listen.resolve(at(port=taken))[0]]
        )
    assert list(folder.iterdir()) == []
    open_on(opened, port=port)


@pytest.mark.parametrize(
    ("bind", "reason"),
    [
        (Bind(fd=10**6), r"^--bind fd://1000000: cannot listen on file descriptor"),
        (Bind(uds="missing/s"), r"^--bind unix:missing/s: \[Errno 2\] error while attempting"),
        (Bind(host="a" * 70 + ".test"), r"^--bind a+\.test:8000: cannot find the address"),
    ],
)
def test_a_failure_names_its_bind(folder: Path, bind: Bind, reason: str) -> None:
    settings = several(Bind(port=0), bind)
    with pytest.raises(StartupError, match=reason):
        listen.open_listener(settings)
    if bind.uds is None:
        with pytest.raises(StartupError, match=reason):
            listen.check_free(settings, listen.resolve(settings))


def test_check_free_looks_at_every_bind(opened: list[Listener], folder: Path) -> None:
    open_on(opened, uds="b")
    settings = several(Bind(port=0), Bind(uds="a"), Bind(uds="b"))
    with pytest.raises(StartupError, match=r"^--bind unix:b: .*a live server answers there"):
        listen.check_free(settings, listen.resolve(settings))
    assert [path.name for path in folder.iterdir()] == ["b"]


def test_binds_that_turn_out_to_be_one_address_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_names(monkeypatch, "127.0.0.1")
    # Without the check the kernel would let it pass.
    settings = several(Bind(host="a.test"), Bind(host="b.test"), reuse_port=True)
    with pytest.raises(ConfigError, match=r"^bind: 'a\.test:8000' and 'b\.test:8000' are the same address$"):
        listen.open_listener(settings)
    assert listen.resolve(several(Bind(host="a.test", port=0), Bind(host="b.test", port=0)))


@pytest.mark.parametrize("is_first", [True, False])
def test_every_ipv4_interface_beside_every_ipv6_interface_is_no_contradiction(is_first: bool) -> None:
    ipv4, ipv6 = Bind(host="0.0.0.0", port=80), Bind(host="::", port=80)
    found = listen.resolve(several(*((ipv4, ipv6) if is_first else (ipv6, ipv4))))
    assert sorted(target.address[0] for targets in found for target in targets) == ["0.0.0.0", "::"]
    assert [len(targets) for targets in found] == [1, 1]


def test_needs_lookup_for_any_name() -> None:
    assert listen.needs_lookup(several(Bind(uds="x"), Bind(host="localhost")))
    assert not listen.needs_lookup(several(Bind(uds="x", host="localhost"), Bind(host="::1")))


def test_open_beside_binds_the_same_ports_again(opened: list[Listener]) -> None:
    settings = several(Bind(port=0), Bind(host=None, port=0), reuse_port=True)
    opened.append(listen.open_listener(settings))
    opened.append(listen.open_beside(opened[0], 10))
    assert opened[0].bound == opened[1].bound


def test_open_beside_what_is_not_shared_fails_and_closes(opened: list[Listener]) -> None:
    listener = open_on(opened, port=0)
    with pytest.raises(StartupError, match="already in use"):
        listen.open_beside(listener, 10)


# ---- who a file belongs to


def test_a_file_gets_its_owner_before_anybody_can_connect(opened: list[Listener], folder: Path, is_root: bool) -> None:
    uid, gid = (12345, 54321) if is_root else (os.getuid(), os.getgid())
    open_on(opened, uds="s", uds_mode=0o600, uds_user=str(uid), uds_group=str(gid))
    info = os.lstat("s")
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (uid, gid, 0o600)


def test_chown_leaves_an_owner_that_was_asked_for(
    opened: list[Listener], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, int, int]] = []
    listener = listen.open_listener(several(Bind(uds="a", uds_user=str(os.getuid())), Bind(uds="b")))
    opened.append(listener)
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.append((os.path.basename(path), uid, gid)))
    listener.chown(7, 8)
    assert given == [("a", -1, 8), ("b", 7, 8)]


@pytest.fixture
def is_root() -> bool:
    return os.geteuid() == 0


def test_only_root_gives_files_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [33])
    assert unix_socket.find_owner("unix:s", "1000", "33") == (1000, 33)
    assert unix_socket.find_owner("unix:s", None, "1000") == (-1, 1000)
    with pytest.raises(
        ConfigError, match=r"^bind: 'unix:s': only root can give a file to another user, and this is user"
    ):
        unix_socket.find_owner("unix:s", "0", None)
    with pytest.raises(
        ConfigError, match=r"^bind: 'unix:s': only root can give a file to a group that user 1000 is not in"
    ):
        listen.check_free(at(uds="s", uds_group="44"), [[]])


@pytest.mark.parametrize(("user", "group", "kind"), [("no-such-one", None, "user"), (None, "no-such-one", "group")])
def test_unknown_owners_are_refused(user: str | None, group: str | None, kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"^bind: there is no {kind} 'no-such-one'$"):
        listen.open_listener(at(uds="s", uds_user=user, uds_group=group))


def test_a_platform_without_owners_has_no_use_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "chown")
    with pytest.raises(ConfigError, match="user and group need a POSIX system"):
        unix_socket.find_owner("unix:s", "1", None)
    assert unix_socket.find_owner("unix:s", None, None) == unix_socket.ANYBODY


# ---- the backlog


def test_a_backlog_above_the_systems_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "somaxconn"
    file.write_text("128\n")
    expected = "--backlog: 2048 is more than the system allows (net.core.somaxconn 128)"
    assert listen.explain_backlog(2048, str(file)) == expected
    assert listen.explain_backlog(128, str(file)) is None


@pytest.mark.parametrize("text", [None, "", "many"])
def test_a_system_that_does_not_tell_its_backlog_is_taken_to_allow_it(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "somaxconn"
    if text is not None:
        file.write_text(text)
    assert listen.explain_backlog(2048, str(file)) is None
