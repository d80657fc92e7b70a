"""The configurations of proxies in deploy/, and what the page about deployment shows of them."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from addax.config.options import BY_NAME

ROOT = Path(__file__).parents[2]
FILES = ["nginx.conf", "haproxy.cfg", "haproxy-tcp.cfg", "nginx-stream.conf"]


def read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def shown(language: str) -> list[list[str]]:
    """The lines of each block in this language, without indentation."""
    found = re.findall(rf"^```{language}\n(.*?)^```", read("docs/deployment.md"), re.MULTILINE | re.DOTALL)
    return [[line.strip() for line in block.splitlines() if line.strip()] for block in found]


@pytest.mark.parametrize(
    ("language", "number", "name"),
    [("nginx", 0, FILES[0]), ("haproxy", 0, FILES[1]), ("haproxy", 1, FILES[2]), ("nginx", 1, FILES[3])],
)
def test_page_shows_lines_of_the_file_in_their_order(language: str, number: int, name: str) -> None:
    lines = iter([line.strip() for line in read(f"deploy/{name}").splitlines()])
    # Each is looked for behind the one before.
    assert [line for line in shown(language)[number] if line not in lines] == []


@pytest.mark.parametrize("name", FILES)
def test_options_of_addax_in_the_comments_exist(name: str) -> None:
    options = re.findall(r"(?<!\S)--([a-z][a-z-]*)", read(f"deploy/{name}"))
    assert options
    assert [option for option in options if option.replace("-", "_") not in BY_NAME] == []


@pytest.mark.parametrize("name", FILES)
def test_page_links_to_the_file(name: str) -> None:
    assert f"(../deploy/{name})" in read("docs/deployment.md")


def test_nginx_closes_idle_connections_first() -> None:
    found = re.search(r"^ *keepalive_timeout (\d+)s;", read("deploy/nginx.conf"), re.MULTILINE)
    assert found is not None
    graceful_s, idle_s = BY_NAME["timeout_graceful_shutdown"].default, int(found[1])
    assert isinstance(graceful_s, int)
    assert idle_s < graceful_s < kept_s()


def kept_s() -> int:
    """--timeout-keep-alive of the unit."""
    found = re.search(r"--timeout-keep-alive (\d+)", read("deploy/addax.service"))
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("haproxy-tcp.cfg", r"timeout client (\d+)s"),
        ("haproxy-tcp.cfg", r"timeout server (\d+)s"),
        ("nginx-stream.conf", r"proxy_timeout (\d+)s;"),
    ],
)
def test_proxy_that_hands_on_bytes_waits_longer_than_addax(name: str, setting: str) -> None:
    found = re.search(rf"^ *{setting}$", read(f"deploy/{name}"), re.MULTILINE)
    assert found is not None
    assert int(found[1]) > kept_s()


@pytest.mark.parametrize("name", FILES)
def test_proxies_look_for_addax_where_the_units_put_it(name: str) -> None:
    if name in ("haproxy-tcp.cfg", "nginx-stream.conf"):
        # The PROXY protocol is for a port.
        assert re.search(r"^ *server (app1 )?127\.0\.0\.1:8000;?$", read(f"deploy/{name}"), re.MULTILINE)
    else:
        assert "/run/addax/http.sock" in read(f"deploy/{name}")
        assert "ListenStream=/run/addax/http.sock" in read("deploy/addax.socket")


STATISTICS = """# pxname,svname,qcur,scur,status
web,FRONTEND,,3,OPEN
app,app1,0,0,UP
app,app2,0,2,UP 1/2
app,app3,1,0,DRAIN
app,BACKEND,0,2,UP
"""


def test_script_reads_the_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    script = runpy.run_path(str(ROOT / "deploy" / "rolling-deploy.py"))
    haproxy = script["HAProxy"]("/nowhere", "app")
    monkeypatch.setattr(haproxy, "ask", lambda command: STATISTICS if command == "show stat" else "")
    assert list(haproxy.servers()) == ["app1", "app2", "app3"]
    assert [server for server in haproxy.servers() if haproxy.is_up(server)] == ["app1", "app2"]
    assert [server for server in haproxy.servers() if haproxy.is_quiet(server)] == ["app1"]


def test_script_leaves_the_only_server_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    script = runpy.run_path(str(ROOT / "deploy" / "rolling-deploy.py"))
    haproxy = script["HAProxy"]("/nowhere", "app")
    monkeypatch.setattr(haproxy, "ask", lambda _: STATISTICS.replace("UP 1/2", "DOWN"))
    with pytest.raises(SystemExit, match="app1 is the only server that is up"):
        script["deploy"](haproxy, "app1", "false", 0, 0)
