"""The script that plays the Autobahn testsuite: where it finds a Python, and how it judges what was found."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "run_autobahn.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("run_autobahn", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def result(behavior: str = "OK", close: str = "OK") -> dict[str, Any]:
    return {"behavior": behavior, "behaviorClose": close, "remoteCloseCode": 1000}


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (result(), "OK"),
        (result("NON-STRICT"), "NON-STRICT"),
        (result("INFORMATIONAL", "INFORMATIONAL"), "INFORMATIONAL"),
        (result("UNIMPLEMENTED", "FAILED"), "UNIMPLEMENTED"),
        (result("FAILED"), "FAILED"),
        (result("OK", "UNCLEAN"), "FAILED"),
        (result("OK", "WRONG CODE"), "FAILED"),
        (result("NON-STRICT", "FAILED"), "FAILED"),
        (result("something new"), "FAILED"),
    ],
)
def test_verdict(script: Any, found: dict[str, Any], verdict: str):
    assert script.verdict(found) == verdict


def test_report_that_passes(script: Any, capsys: pytest.CaptureFixture[str]):
    assert script.judge({"1.1.1": result(), "7.1.6": result("INFORMATIONAL", "INFORMATIONAL"), "2.10": result()})
    printed = capsys.readouterr().out
    assert [line.split()[:2] for line in printed.splitlines() if line[:1].isdigit()] == [
        ["1", "framing"],
        ["2", "pings"],
        ["7", "closing"],
    ]


@pytest.mark.parametrize("behavior", ["NON-STRICT", "UNIMPLEMENTED", "FAILED"])
def test_explanation_excuses_all_but_a_failure(
    script: Any, behavior: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    results = {"1.1.1": result(), "3.2": result(behavior)}
    assert not script.judge(results)
    assert "not explained" in capsys.readouterr().out
    monkeypatch.setitem(script.EXPLAINED, "3.2", "because")
    assert script.judge(results) is (behavior != "FAILED")


def test_nothing_played_is_nothing_passed(script: Any):
    assert not script.judge({})


def test_cases_are_in_the_order_of_their_numbers(script: Any):
    assert sorted(["2.10", "2.9", "10.1.1", "2.9.1"], key=script.case_key) == ["2.9", "2.9.1", "2.10", "10.1.1"]


def test_short_run_plays_some_of_each_kind_of_compression(script: Any):
    assert "9.*" in script.LONG
    assert {case.rsplit(".", 1)[0] for case in script.SAMPLES} == {f"12.{n}" for n in range(1, 6)} | {
        f"13.{n}" for n in range(1, 8)
    }
    assert not script.SAMPLES & set(script.LONG)


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--require"], 1)])
def test_no_python_2_7(
    script: Any,
    options: list[str],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(script, "ENVIRONMENT", tmp_path / "none")
    # Neither is what is not there, nor what is another version.
    for python in (str(tmp_path / "python2.7"), sys.executable):
        monkeypatch.setenv("PYTHON27", python)
        assert script.main(["--short", *options]) == code
        assert "needs Python 2.7" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_python_2_7_is_looked_for_on_path_and_among_those_of_pyenv(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ours = []
    for name in ("bin", "versions/2.7.18/bin", "versions/3.11.7/bin"):
        program = tmp_path / name / "python2.7"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        ours.append(str(program))
    monkeypatch.delenv("PYTHON27", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert list(script.pythons()) == ours[:2]
