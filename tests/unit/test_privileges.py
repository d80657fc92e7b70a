"""Becoming another user: who that is, and that there is no way back.

``drop`` is tested on a kernel that is played, and in a process of its own, which has to be root's to see all of it.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from addax.core.errors import ConfigError, StartupError
from addax.supervise import privileges
from addax.supervise.privileges import Identity, drop, resolve

#: Ids that no user database has.
UID, GID = 3_456_789, 3_456_790
ROOT = pwd.getpwuid(0)
SOMEBODY = next(entry for entry in pwd.getpwall() if entry.pw_uid != 0 and entry.pw_gid != 0)
GROUP = next(entry for entry in grp.getgrall() if entry.gr_gid not in (0, SOMEBODY.pw_gid))


class Kernel:
    """The ids of a process, and the rules for changing them. ``is_lax`` lets everybody do everything."""

    def __init__(self, uid: int = 0, gid: int = 0, is_lax: bool = False) -> None:
        self.uid, self.gid, self.groups = uid, gid, [gid, 27]
        self.is_lax = is_lax
        self.is_deaf = False

    def _change(self, kind: str, value: object, is_own: bool) -> None:
        if self.uid != 0 and not is_own and not self.is_lax:
            raise PermissionError(1, "Operation not permitted")
        if not self.is_deaf:
            setattr(self, kind, value)

    def setuid(self, uid: int) -> None:
        self._change("uid", uid, uid == self.uid)

    def setgid(self, gid: int) -> None:
        self._change("gid", gid, gid == self.gid)

    def setgroups(self, groups: list[int]) -> None:
        self._change("groups", groups, False)

    def initgroups(self, name: str, gid: int) -> None:
        self._change("groups", [gid, f"those of {name}"], False)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Kernel:
        for name in ("setuid", "setgid", "setgroups", "initgroups"):
            monkeypatch.setattr(os, name, getattr(self, name))
        for name in ("getuid", "geteuid"):
            monkeypatch.setattr(os, name, lambda: self.uid)
        for name in ("getgid", "getegid"):
            monkeypatch.setattr(os, name, lambda: self.gid)
        return self


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of root, put back after the test."""
    for name, value in (("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root")):
        monkeypatch.setenv(name, value)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Kernel]:
    return lambda **arguments: Kernel(**arguments).install(monkeypatch)


Play = Callable[..., Kernel]


def refusal(user: str | None, group: str | None) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        resolve(user, group)
    return caught.value.option, caught.value.reason


# --- resolve ----------------------------------------------------------------------------------------------------------


def test_nothing_asked_for_is_nothing_to_do(kernel: Play) -> None:
    kernel()
    assert resolve(None, None) is None


@pytest.mark.parametrize("user", [SOMEBODY.pw_name, str(SOMEBODY.pw_uid)])
def test_user_alone_takes_its_primary_group(kernel: Play, user: str) -> None:
    kernel()
    found = pwd.getpwnam(user) if not user.isdecimal() else pwd.getpwuid(int(user))
    assert resolve(user, None) == Identity(found.pw_uid, found.pw_gid, found.pw_name, found.pw_dir)


@pytest.mark.parametrize("group", [GROUP.gr_name, str(GROUP.gr_gid)])
def test_user_and_group(kernel: Play, group: str) -> None:
    kernel()
    expected = Identity(SOMEBODY.pw_uid, GROUP.gr_gid, SOMEBODY.pw_name, SOMEBODY.pw_dir)
    assert resolve(SOMEBODY.pw_name, group) == expected


def test_group_alone_leaves_the_user(kernel: Play) -> None:
    kernel()
    assert resolve(None, GROUP.gr_name) == Identity(0, GROUP.gr_gid, ROOT.pw_name, ROOT.pw_dir)


def test_numbers_need_not_be_in_the_database(kernel: Play) -> None:
    kernel()
    assert resolve(str(UID), str(GID)) == Identity(UID, GID)


def test_name_that_looks_like_a_number_comes_first(kernel: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel()
    monkeypatch.setattr(pwd, "getpwnam", lambda name: {"1": SOMEBODY}[name])
    assert resolve("1", "0") == Identity(SOMEBODY.pw_uid, 0, SOMEBODY.pw_name, SOMEBODY.pw_dir)


def test_number_without_a_primary_group_needs_one(kernel: Play) -> None:
    kernel()
    option, reason = refusal(str(UID), None)
    assert option == "--user"
    assert reason == f"user {UID} is not in the user database, so it has no group: add --group"


@pytest.mark.parametrize("name", ["no-such-name", "", "-1", "1.5", "٣", "99999999999", "a\0b"])
def test_who_is_not_found_is_named(kernel: Play, name: str) -> None:
    kernel()
    assert refusal(name, "0") == ("--user", f"there is no user {name!r}")
    assert refusal("0", name) == ("--group", f"there is no group {name!r}")


@pytest.mark.parametrize("number", [2**32 - 1, 2**32, 9_999_999_999])
def test_numbers_that_would_leave_things_as_they_are_are_refused(kernel: Play, number: int) -> None:
    kernel()
    assert refusal(str(number), "0") == ("--user", f"{number} is no user id: the largest is 4294967294")
    assert refusal("0", str(number)) == ("--group", f"{number} is no group id: the largest is 4294967294")


@pytest.mark.parametrize(
    ("user", "group", "option"),
    [("root", None, "--user"), (None, "0", "--group"), (str(UID), "0", "--user"), (str(UID + 1), str(GID), "--user")],
)
def test_only_root_can_become_somebody_else(kernel: Play, user: str | None, group: str | None, option: str) -> None:
    kernel(uid=UID, gid=GID)
    assert refusal(user, group) == (
        option,
        f"only root can become another user or group, and this is user {UID}",
    )


@pytest.mark.parametrize(("user", "group"), [(str(UID), None), (None, str(GID)), (str(UID), str(GID))])
def test_who_is_that_already_needs_no_root(kernel: Play, user: str | None, group: str | None) -> None:
    kernel(uid=UID, gid=GID)
    assert resolve(user, group) is None


def test_unknown_name_is_reported_without_root_too(kernel: Play) -> None:
    kernel(uid=UID, gid=GID)
    assert refusal("no-such-name", None) == ("--user", "there is no user 'no-such-name'")


def test_without_users_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "setuid")
    assert resolve(None, None) is None
    assert refusal("www", None) == ("--user", "needs a POSIX system")
    assert refusal(None, "www") == ("--group", "needs a POSIX system")


# --- drop, on a kernel that is played ---------------------------------------------------------------------------------


def test_drop_changes_groups_before_the_right_to_do_so_is_gone(kernel: Play) -> None:
    played = kernel()
    drop(Identity(UID, GID, "www", "/srv/www"))
    assert (played.uid, played.gid, played.groups) == (UID, GID, [GID, "those of www"])
    assert [os.environ[name] for name in ("HOME", "USER", "LOGNAME")] == ["/srv/www", "www", "www"]


def test_drop_to_a_number_leaves_no_groups_and_no_name(kernel: Play) -> None:
    played = kernel()
    drop(Identity(UID, GID))
    assert (played.uid, played.gid, played.groups) == (UID, GID, [GID])
    assert os.environ["HOME"] == "/"
    assert not {"USER", "LOGNAME"} & os.environ.keys()


def test_drop_of_the_group_leaves_the_environment(kernel: Play) -> None:
    played = kernel()
    os.environ["HOME"] = "/home/of/whoever/called/sudo"
    drop(Identity(0, GID, "root", "/root"))
    assert (played.uid, played.gid) == (0, GID)
    assert os.environ["HOME"] == "/home/of/whoever/called/sudo"


def test_drop_into_the_group_of_root_is_no_way_back(kernel: Play) -> None:
    played = kernel()
    drop(Identity(UID, 0, "www"))
    assert (played.uid, played.gid) == (UID, 0)


def failure(identity: Identity) -> str:
    with pytest.raises(StartupError) as caught:
        drop(identity)
    return str(caught.value)


def test_drop_without_root_fails(kernel: Play) -> None:
    kernel(uid=UID, gid=GID)
    assert failure(Identity(1, 2, "www")) == "cannot become user 1 with group 2: Operation not permitted"
    assert os.environ["USER"] == "root"


def test_drop_that_can_be_undone_fails(kernel: Play) -> None:
    kernel(is_lax=True)
    expected = f"became user {UID}, but could become root again: refusing to serve like that"
    assert failure(Identity(UID, GID, "www")) == expected


def test_drop_notices_that_the_group_can_be_undone(kernel: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    played = kernel()
    monkeypatch.setattr(os, "setgid", lambda gid: setattr(played, "gid", gid))
    assert "could become root again" in failure(Identity(UID, GID, "www"))


def test_drop_that_did_nothing_fails(kernel: Play) -> None:
    kernel().is_deaf = True
    assert failure(Identity(UID, GID)) == f"cannot become user {UID} with group {GID}: the system did not do it"


# --- drop, for good ---------------------------------------------------------------------------------------------------

#: Prints who it was and who it has become. All is imported before: the new user may not be able to read it.
CHILD = """
import json, os, pwd, sys
from addax.core.errors import StartupError
from addax.supervise.privileges import Identity, drop
identity = Identity(*json.loads(sys.argv[1]))
try:
    drop(identity)
except StartupError as error:
    print(json.dumps({"error": str(error)}))
    sys.exit()
found = {"uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(), "back": []}
found["environment"] = [os.environ.get(name) for name in ("HOME", "USER", "LOGNAME")]
for name in ("setuid", "seteuid", "setgid", "setegid"):
    try:
        getattr(os, name)(0)
        found["back"].append(name)
    except PermissionError:
        pass
print(json.dumps(found))
"""


def dropped(identity: Identity) -> dict[str, Any]:
    arguments = [sys.executable, "-c", CHILD, json.dumps(identity)]
    found: dict[str, Any] = json.loads(subprocess.run(arguments, capture_output=True, check=True).stdout)
    return found


@pytest.mark.parametrize(
    ("identity", "environment"),
    [
        (
            Identity(SOMEBODY.pw_uid, GROUP.gr_gid, SOMEBODY.pw_name, SOMEBODY.pw_dir),
            [SOMEBODY.pw_dir, SOMEBODY.pw_name, SOMEBODY.pw_name],
        ),
        (Identity(UID, GID), ["/", None, None]),
    ],
    ids=["name", "number"],
)
def test_process_that_dropped_is_somebody_else_for_good(identity: Identity, environment: list[str | None]) -> None:
    found = dropped(identity)
    if os.geteuid() != 0:
        assert "Operation not permitted" in found["error"]
        return
    assert found["uids"] == [identity.uid] * 3
    assert found["gids"] == [identity.gid] * 3
    groups = [identity.gid]
    if identity.name is not None:
        groups = os.getgrouplist(identity.name, identity.gid)
    assert sorted(found["groups"]) == sorted(set(groups))
    assert found["back"] == []
    assert found["environment"] == environment


def test_module_needs_no_user_database_to_be_imported() -> None:
    code = "import sys; sys.modules['pwd'] = sys.modules['grp'] = None; import addax.supervise.privileges"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert privileges.__name__ == "addax.supervise.privileges"


# --- check_installation -----------------------------------------------------------------------------------------------


def test_installation_that_can_be_read_is_fine() -> None:
    privileges.check_installation(Identity(UID, GID))


@pytest.mark.parametrize("place", [sys.executable, os.__file__, privileges.__file__])
@pytest.mark.parametrize(("name", "who"), [("www-data", "www-data"), (None, str(UID))])
def test_installation_that_the_new_user_cannot_read_is_named(
    monkeypatch: pytest.MonkeyPatch, place: str, name: str | None, who: str
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != place)
    with pytest.raises(ConfigError) as caught:
        privileges.check_installation(Identity(UID, GID, name))
    assert caught.value.option == "--user"
    assert caught.value.reason.startswith(f"{who} cannot read {place!r}: ")
