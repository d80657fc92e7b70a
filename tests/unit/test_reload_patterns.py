"""supervise.patterns: which files --reload watches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from addax.supervise.patterns import DEFAULT_EXCLUDED_DIRECTORIES, Globs, WatchRules, is_within, make_rules


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("app/templates", "tests/data", "vendor/lib", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path.resolve()


def rules(home: Path, includes: tuple[str, ...] = (), excludes: tuple[str, ...] = (), dirs: tuple[str, ...] = ()):
    return make_rules([Path(name) for name in dirs], includes, excludes, home)


def matching(made: WatchRules, home: Path, *names: str) -> list[str]:
    return [name for name in names if made.matches(home / name)]


@pytest.mark.parametrize(
    ("includes", "excludes", "yes", "no"),
    [
        pytest.param(
            (), (), "app.py app/deep/x.py .hidden/x.py x~.py", "a.html app.pyc app .x.py ~x.py a.py/x", id="defaults"
        ),
        pytest.param(("*.html",), (), "a.py app/a.html", "a.css .a.html", id="more files"),
        pytest.param((), ("test_*",), "a.py app/a_test_.py", "test_a.py app/test_b.py test_dir/a.py", id="less files"),
        pytest.param((), ("*.py",), "", "a.py", id="an exclude removes the default include"),
        pytest.param(("*.html",), ("*.py",), "a.html", "a.py", id="other files instead"),
        pytest.param((".*",), (), ".env .x.py a.py", "a.html", id="an include removes a default exclude"),
        pytest.param(("~*", "*.txt"), (), "~a ~a.py ~a.txt", ".a.txt", id="another default exclude"),
        pytest.param((".env",), (), ".env app/.env", ".env2 .venv/.env", id="a name without wildcards is meant"),
        pytest.param((".env",), (".*",), ".env", ".x.py", id="meant, though excluded by hand"),
        pytest.param(("*",), ("*.log",), "a a.b app/c", "x.log app/x.log __pycache__/x", id="everything but"),
        pytest.param(("[ab].txt", "c?.txt"), (), "a.txt cc.txt", "c.txt ab.txt", id="sets and single characters"),
        pytest.param(("[", "[z-a]", "*["), (), "[ x[", "z ]", id="broken patterns are no crash"),
        pytest.param(("templates/*.html",), (), "templates/a.html app/templates/a.html a.py",
                     "a.html templates/x/a.html xtemplates/a.html", id="the end of a path"),
        pytest.param(("app/**/*.html",), (), "app/a.html app/x/y/a.html z/app/a.html", "a.html", id="any depth"),
        pytest.param(("**/*.md",), (), "a.md app/b.md", "a.mdx", id="any depth first"),
        pytest.param(("conf/**",), (), "conf/a conf/b/c", "conf x/a", id="any depth last"),
        pytest.param(("./conf/*.ini",), (), "conf/a.ini", "app/conf/a.ini", id="bound to the current directory"),
        pytest.param(("app/../conf/*.ini", " ", ""), (), "conf/a.ini", "app/conf/a.ini a.ini", id="a way back"),
        pytest.param((), ("vendor",), "a.py app/vendor/a.py vendored/a.py", "vendor/a.py vendor/lib/a.py",
                     id="a directory"),
        pytest.param((), ("vendor/",), "a.py", "vendor/a.py", id="a directory with a slash"),
        pytest.param((), ("build",), "a.py abuild/a.py", "build/a.py app/build/x/a.py", id="one that is not there yet"),
        pytest.param((), ("tests/*",), "a.py", "tests/a.py tests/data/a.py x/tests/data/x/a.py", id="what is in it"),
        pytest.param((), ("tests/**",), "a.py tests.py", "tests/a.py tests/data/a.py", id="all that is in it"),
        pytest.param((), (".*",), ".hidden/a.py", ".a.py", id="hidden files, not directories"),
        pytest.param((), ("app/x.py",), "x.py", "app/x.py", id="one file"),
        pytest.param(("node_modules",), (), "node_modules/x.py", ".git/x.py", id="an include opens a directory"),
    ],
)  # fmt: skip
def test_matches_by_patterns(
    home: Path, includes: tuple[str, ...], excludes: tuple[str, ...], yes: str, no: str
) -> None:
    made = rules(home, includes, excludes)

    assert matching(made, home, *yes.split()) == yes.split()
    assert matching(made, home, *no.split()) == []


def test_directories_nobody_watches(home: Path) -> None:
    made = rules(home)

    assert [name for name in DEFAULT_EXCLUDED_DIRECTORIES if made.matches(home / "app" / name / "deep" / "x.py")] == []
    assert made.reaches(f"{home}/app/deep")
    assert not made.reaches(f"{home}/app/.git")
    assert not made.reaches(os.path.dirname(home))


def test_named_directory_is_watched_whatever_its_name(home: Path) -> None:
    (home / ".venv/src/lib").mkdir(parents=True)

    made = rules(home, dirs=(".venv/src", "."))

    assert made.directories == (home, home / ".venv/src")
    assert matching(made, home, ".venv/src/a.py", ".venv/src/lib/a.py") == [".venv/src/a.py", ".venv/src/lib/a.py"]
    assert not made.matches(home / ".venv/a.py")
    assert not made.matches(home / ".venv/src/node_modules/a.py")


@pytest.mark.parametrize(
    ("dirs", "includes", "excludes", "expected"),
    [
        ((), (), (), ["."]),
        (("app",), (), (), ["app"]),
        (("app", "app/templates", "app/../app", "tests"), (), (), ["app", "tests"]),
        (("app",), ("vendor", "tests/data"), (), ["app", "tests/data", "vendor"]),
        (("app",), ("app/templates",), (), ["app"]),
        ((), ("app",), (), ["."]),
        (("app", "tests"), (), ("tests",), ["app"]),
        (("app", "tests/data"), (), ("tests",), ["app"]),
        (("app", "not_there"), (), (), ["app", "not_there"]),
        (("app",), (), (".",), []),
    ],
)
def test_directories(
    home: Path, dirs: tuple[str, ...], includes: tuple[str, ...], excludes: tuple[str, ...], expected: list[str]
) -> None:
    assert list(rules(home, includes, excludes, dirs).directories) == [(home / name).resolve() for name in expected]


def test_files_named_by_their_path_always_count(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside").resolve() / "settings.ini"
    outside.touch()
    (home / "vendor/.secret").touch()

    made = rules(home, (str(outside), "vendor/.secret"), ("vendor", ".*"))

    assert made.files == {str(outside), f"{home}/vendor/.secret"}
    assert made.matches(outside)
    assert made.matches(home / "vendor/.secret")
    assert not made.matches(outside.with_name("other.ini"))
    assert not made.matches(home / "vendor/x.py")


def test_file_as_directory_is_that_file(home: Path) -> None:
    (home / "main.txt").touch()

    made = rules(home, dirs=("main.txt",))

    assert (made.directories, made.files) == ((), {f"{home}/main.txt"})


def test_links_are_resolved(home: Path) -> None:
    (home / "link").symlink_to(home / "app")
    (home / "linked.ini").symlink_to(home / "app/settings.ini")
    (home / "app/settings.ini").touch()

    made = make_rules([home / "link"], ["linked.ini", f"{home}/link/*.cfg"], [], home / "link/..")

    assert made.directories == (home / "app",)
    # A file is not: either the link or what it leads to may be replaced.
    assert made.files == {f"{home}/linked.ini"}
    assert made.matches(home / "app/a.cfg")
    assert not made.matches(home / "app/templates/a.cfg")


def test_excluded_link_is_excluded_by_both_names(home: Path) -> None:
    (home / "link").symlink_to(home / "vendor")

    made = rules(home, excludes=("link",))

    assert matching(made, home, "link/a.py", "vendor/a.py", "app/a.py") == ["app/a.py"]


def test_names_that_are_not_utf_8_match(home: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")

    assert matching(rules(home), home, f"{odd}.py", f"{odd}/x.py") == [f"{odd}.py", f"{odd}/x.py"]
    assert matching(rules(home, excludes=(odd,)), home, f"{odd}/x.py") == []
    assert not rules(home).matches(home / f"{odd}.txt")


def test_paths_may_be_text(home: Path) -> None:
    assert rules(home).matches(f"{home}/a.py")
    assert not rules(home).matches("a.py")


def test_no_patterns_match_nothing() -> None:
    assert not Globs([]).match("/x/a.py")


def test_is_within() -> None:
    assert is_within("/", "/")
    assert is_within("/a", "/")
    assert is_within("/a/b", "/a")
    assert not is_within("/ab", "/a")
    assert not is_within("/a", "/a/b")
