"""Certificates and rules from the options: each mistake is told by its option."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from addax.config.config import Config
from addax.core.errors import ConfigError
from addax.core.settings import TlsSettings
from addax.net.tls_context import CIPHERS
from addax.net.tls_material import TlsMaterial, load
from tests.certificates import PASSWORD, Authority, Files


def settings_of(files: Files, **more: Any) -> TlsSettings:
    more.setdefault("password", files.password)
    return TlsSettings(str(files.certfile), str(files.keyfile), **more)


def refusal(settings: TlsSettings, factory: Any = None) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(settings, factory)
    return caught.value.option, caught.value.reason


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> Files:
    """One's own copy."""
    return authority.server("a.example").copy_to(tmp_path)


# ---- what is made


def test_defaults(files: Files) -> None:
    material = load(settings_of(files))
    context = material.context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.maximum_version in (ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3)
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.verify_mode == ssl.CERT_NONE
    assert context.sni_callback is None
    assert material.files == (str(files.certfile), str(files.keyfile))
    assert [certificate.names for certificate in material.certificates] == [{"a.example"}]


def test_ciphers_of_tls_1_2_forget_their_keys_and_authenticate(files: Files) -> None:
    ciphers = [one for one in load(settings_of(files)).context.get_ciphers() if one["protocol"] == "TLSv1.2"]
    assert ciphers
    assert all(one["aead"] and one["kea"] == "kx-ecdhe" for one in ciphers)
    assert load(settings_of(files, ciphers=CIPHERS)).context.get_ciphers() == [
        *load(settings_of(files)).context.get_ciphers()
    ]


def test_ciphers_that_are_asked_for(files: Files) -> None:
    material = load(settings_of(files, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
    names = [one["name"] for one in material.context.get_ciphers() if one["protocol"] == "TLSv1.2"]
    assert names == ["ECDHE-ECDSA-AES128-GCM-SHA256"]


@pytest.mark.parametrize(("version", "is_only_1_2"), [(17, False), (2, False), (5, True)])
def test_versions(files: Files, version: int, is_only_1_2: bool) -> None:
    context = load(settings_of(files, version=version)).context
    assert (context.maximum_version == ssl.TLSVersion.TLSv1_2) == is_only_1_2
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_key_in_the_same_file(authority: Authority) -> None:
    combined = str(authority.server("a.example").combined)
    assert load(TlsSettings(combined)).files == (combined,)
    assert load(TlsSettings(combined, combined)).files == (combined,)


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_encrypted_key(authority: Authority, key: str) -> None:
    files = authority.server("a.example", key=key, password=PASSWORD)
    load(settings_of(files))
    load(TlsSettings(str(files.combined), password=PASSWORD))


def test_password_for_a_key_that_needs_none(files: Files) -> None:
    load(settings_of(files, password="unused"))


@pytest.mark.parametrize("mode", [1, 2])
def test_clients_certificates(files: Files, authority: Authority, mode: int) -> None:
    material = load(settings_of(files, cert_reqs=mode, ca_certs=str(authority.file)))
    assert material.context.verify_mode == ssl.VerifyMode(mode)
    assert str(authority.file) in material.files
    assert [one["subject"] for one in material.context.get_ca_certs()] == [((("commonName", "Test Authority"),),)]


def test_further_certificates(authority: Authority, files: Files) -> None:
    others = [authority.server("b.example", "c.example"), authority.server("*.d.example", "c.example")]
    extra = ((str(others[0].certfile), str(others[0].keyfile)), (str(others[1].combined), None))
    material = load(settings_of(files, extra_certs=extra, ciphers="ECDHE+CHACHA20", version=5))
    assert material.files == (
        str(files.certfile),
        str(files.keyfile),
        str(others[0].certfile),
        str(others[0].keyfile),
        str(others[1].combined),
    )
    assert len(material.certificates) == 3
    context = material.find("b.example")
    assert context is not None
    assert material.find("c.example") is context, "the first that names it"
    assert context.maximum_version == ssl.TLSVersion.TLSv1_2
    for name in ("a.example", "", ".", "d.example", "x", None, "*.example"):
        assert material.find(name) is None


def test_key_of_another_kind_is_no_other_host(authority: Authority, files: Files) -> None:
    rsa = authority.server("a.example", key="rsa")
    material = load(settings_of(files, extra_certs=((str(rsa.combined), None),)))
    assert material.find("a.example") is None
    assert material.context.sni_callback is None
    addresses = authority.server("127.0.0.1"), authority.server("127.0.0.1", key="rsa")
    load(settings_of(addresses[0], extra_certs=((str(addresses[1].combined), None),)))


def test_second_key_of_the_same_kind_for_the_same_hosts(authority: Authority, files: Files) -> None:
    rsa = authority.server("a.example", key="rsa")
    again = str(authority.server("a.example", subject="/CN=again").combined)
    reason = "is for the same hosts as {!r}, and its key is of the same kind"
    settings = settings_of(files, extra_certs=((str(rsa.combined), None), (again, None)))
    assert refusal(settings) == ("ssl_extra_certs", f"{again!r} {reason.format(str(files.certfile))}")
    other = str(authority.server("a.example", key="rsa", subject="/CN=again").combined)
    settings = settings_of(files, extra_certs=((str(rsa.combined), None), (other, None)))
    assert refusal(settings) == ("ssl_extra_certs", f"{other!r} {reason.format(str(rsa.combined))}")


def test_key_of_another_kind_for_a_further_host(authority: Authority, files: Files) -> None:
    ec, rsa = (str(authority.server("b.example", key=key).combined) for key in ("ec", "rsa"))
    material = load(settings_of(files, extra_certs=((ec, None), (rsa, None))))
    assert len(material.certificates) == 3
    again = str(authority.server("b.example", key="rsa", subject="/CN=again").combined)
    option, reason = refusal(settings_of(files, extra_certs=((ec, None), (rsa, None), (again, None))))
    assert option == "ssl_extra_certs"
    assert reason == f"{again!r} is for the same hosts as {rsa!r}, and its key is of the same kind"


def test_certificate_that_a_factory_leaves_out_is_shown_to_nobody(authority: Authority, files: Files) -> None:
    own = authority.server("own.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certfile, own.keyfile)
    more = str(authority.server("a.example", subject="/CN=more").combined)
    material = load(settings_of(files, extra_certs=((more, None),)), lambda make_default: context)
    assert material.context is context
    assert material.find("a.example") is not None, "the context has no certificate for it"


def test_context_of_an_embedder(authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    material = TlsMaterial(context)
    assert material.context is context
    assert (material.files, material.certificates) == ((), ())
    assert material.find("a.example") is None


# ---- what cannot be used


def test_missing_certificate(files: Files, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    expected = f"{missing!r} cannot be read: No such file or directory"
    assert refusal(TlsSettings(missing, str(files.keyfile))) == ("ssl_certfile", expected)
    assert refusal(TlsSettings(str(files.certfile), missing)) == ("ssl_keyfile", expected)
    assert refusal(settings_of(files, extra_certs=((missing, None),))) == ("ssl_extra_certs", expected)
    assert refusal(settings_of(files, extra_certs=((str(files.certfile), missing),))) == ("ssl_extra_certs", expected)


def test_directory(files: Files, tmp_path: Path) -> None:
    expected = f"{str(tmp_path)!r} cannot be read: Is a directory"
    assert refusal(TlsSettings(str(tmp_path))) == ("ssl_certfile", expected)
    assert refusal(TlsSettings(str(files.certfile), str(tmp_path))) == ("ssl_keyfile", expected)


def test_no_pem(files: Files, tmp_path: Path) -> None:
    text, der = tmp_path / "text", tmp_path / "der"
    text.write_text("hello")
    der.write_bytes(ssl.PEM_cert_to_DER_cert(files.pem))
    for path in (text, der):
        option, reason = refusal(TlsSettings(str(path), str(files.keyfile)))
        assert (option, reason) == ("ssl_certfile", f"{str(path)!r} holds no certificate in PEM form")
        option, reason = refusal(TlsSettings(str(files.certfile), str(path)))
        assert (option, reason) == ("ssl_keyfile", f"{str(path)!r} holds no private key in PEM form")


def test_certificate_that_is_nonsense(files: Files) -> None:
    files.certfile.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    option, reason = refusal(settings_of(files))
    assert option == "ssl_certfile"
    assert reason.startswith(f"{str(files.certfile)!r} and its key {str(files.keyfile)!r} cannot be used: ")


def test_key_that_is_nonsense(files: Files) -> None:
    files.keyfile.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    option, reason = refusal(settings_of(files))
    assert option == "ssl_certfile"
    assert "cannot be used: " in reason


def test_no_key(files: Files) -> None:
    expected = f"is needed: {str(files.certfile)!r} holds no private key"
    assert refusal(TlsSettings(str(files.certfile))) == ("ssl_keyfile", expected)
    extra = ((str(files.certfile), None),)
    assert refusal(settings_of(files, extra_certs=extra)) == ("ssl_extra_certs", expected)


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_key_of_another_certificate(authority: Authority, files: Files, key: str) -> None:
    other = authority.server("b.example", key=key)
    expected = f"the private key in {str(other.keyfile)!r} is not that of the certificate in {str(files.certfile)!r}"
    assert refusal(TlsSettings(str(files.certfile), str(other.keyfile))) == ("ssl_keyfile", expected)
    extra = ((str(files.certfile), str(other.keyfile)),)
    assert refusal(settings_of(other, extra_certs=extra)) == ("ssl_extra_certs", expected)


def test_encrypted_key_of_another_certificate_is_no_matter_of_the_password(authority: Authority, files: Files) -> None:
    other = authority.server("b.example", password=PASSWORD)
    option, reason = refusal(TlsSettings(str(files.certfile), str(other.keyfile), PASSWORD))
    assert option == "ssl_keyfile"
    assert "is not that of the certificate" in reason


@pytest.mark.parametrize(("password", "what"), [(None, "is needed for"), ("", "is needed for"), ("no", "is wrong for")])
def test_password(authority: Authority, password: str | None, what: str) -> None:
    files = authority.server("a.example", password=PASSWORD)
    expected = ("ssl_keyfile_password", f"{what} the private key in {str(files.keyfile)!r}")
    assert refusal(settings_of(files, password=password)) == expected
    common = authority.server("b.example")
    extra = ((str(files.certfile), str(files.keyfile)),)
    assert refusal(settings_of(common, password=password, extra_certs=extra)) == expected


def test_password_is_not_shown_with_the_settings(files: Files) -> None:
    assert "secret" not in repr(Config("app:app", ssl_certfile=files.certfile, ssl_keyfile_password="secret"))
    assert "secret" not in repr(
        Config("app:app", ssl_certfile=files.certfile, ssl_keyfile_password="secret").settings()
    )


def test_password_is_never_asked_for_on_the_terminal(authority: Authority) -> None:
    files = authority.server("a.example", password=PASSWORD)
    code = (
        "from addax.net.tls_material import load\nfrom addax.core.settings import TlsSettings\n"
        f"load(TlsSettings({str(files.certfile)!r}, {str(files.keyfile)!r}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        input="secret\n",
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "ConfigError" in ran.stderr
    assert "pass phrase" not in (ran.stdout + ran.stderr).lower()


def test_ciphers_that_nobody_knows(files: Files) -> None:
    assert refusal(settings_of(files, ciphers="NONSENSE")) == (
        "ssl_ciphers",
        "OpenSSL knows none of the ciphers 'NONSENSE'",
    )


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (1, "1 is SSL 3.0, which is not secure (RFC 8996)"),
        (3, "3 is TLS 1.0, which is not secure (RFC 8996)"),
        (4, "4 is TLS 1.1, which is not secure (RFC 8996)"),
        (0, "0 is not one of 17 (TLS 1.2 and later) and 5 (TLS 1.2 alone)"),
        (16, "16 is not one of 17 (TLS 1.2 and later) and 5 (TLS 1.2 alone)"),
    ],
)
def test_versions_that_are_not_secure_or_unknown(files: Files, version: int, reason: str) -> None:
    assert refusal(settings_of(files, version=version)) == ("ssl_version", reason)


@pytest.mark.parametrize("mode", [1, 2])
def test_clients_certificates_without_an_authority(files: Files, mode: int) -> None:
    assert refusal(settings_of(files, cert_reqs=mode)) == (
        "ssl_cert_reqs",
        "without ssl_ca_certs no client's certificate could be checked",
    )


def test_authorities_that_cannot_be_read(files: Files, tmp_path: Path) -> None:
    missing, text = tmp_path / "missing", tmp_path / "text"
    text.write_text("hello")
    for path, reason in ((missing, "No such file or directory"), (text, "holds no certificates in PEM form")):
        settings = settings_of(files, cert_reqs=1, ca_certs=str(path))
        assert refusal(settings) == ("ssl_ca_certs", f"{str(path)!r}: {reason}")


def test_authorities_in_a_directory_that_cannot_be_read(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who runs the tests may be root, whom no mode keeps out.
    def listdir(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.listdir", listdir)
    settings = settings_of(files, cert_reqs=1, ca_certs=str(tmp_path))
    assert refusal(settings) == ("ssl_ca_certs", f"{str(tmp_path)!r}: Permission denied")


def test_further_certificate_that_nobody_could_ask_for(authority: Authority, files: Files) -> None:
    path = str(authority.server("127.0.0.1").combined)
    assert refusal(settings_of(files, extra_certs=((path, None),))) == (
        "ssl_extra_certs",
        f"{path!r} names no host that a client could ask for",
    )


# ---- a factory


def test_factory_changes_what_the_options_describe(files: Files) -> None:
    def factory(make_default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = make_default()
        context.options |= ssl.OP_NO_TICKET
        return context

    material = load(settings_of(files, ciphers="ECDHE+CHACHA20"), factory)
    assert material.context.options & ssl.OP_NO_TICKET
    assert all("CHACHA20" in one["name"] for one in material.context.get_ciphers() if one["protocol"] == "TLSv1.2")


def test_factory_without_certificate(files: Files, authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert load(TlsSettings(), lambda _: context).context is context
    other = authority.server("b.example")
    material = load(TlsSettings(extra_certs=((str(other.combined), None),)), lambda _: context)
    assert material.find("b.example") is not None
    assert refusal(TlsSettings(), lambda make: make()) == (
        "ssl_certfile",
        "is needed: a server must have a certificate",
    )


def test_factory_makes_the_contexts_of_further_hosts_too(authority: Authority, files: Files) -> None:
    other = authority.server("b.example")

    def factory(make_default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = make_default()
        context.set_ciphers("ECDHE+CHACHA20")
        return context

    context = load(settings_of(files, extra_certs=((str(other.combined), None),)), factory).find("b.example")
    assert context is not None
    assert all("CHACHA20" in one["name"] for one in context.get_ciphers() if one["protocol"] == "TLSv1.2")
    missing = "/nowhere/key.pem"
    option, _ = refusal(settings_of(files, extra_certs=((str(other.certfile), missing),)), factory)
    assert option == "ssl_extra_certs"


def test_factory_that_goes_by_what_it_is_given_only_at_first(authority: Authority, files: Files) -> None:
    other = authority.server("b.example")
    made: list[ssl.SSLContext] = []

    def factory(make_default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        made.append(make_default() if not made else made[0])
        return made[0]

    settings = settings_of(files, extra_certs=((str(other.combined), None),))
    material = load(settings, factory)
    assert material.find("b.example") not in (None, material.context)


def test_factory_that_returns_the_same_context_again_chooses_from_what_was_read_last(
    authority: Authority, files: Files
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    extra = ((str(authority.server("b.example").combined), None),)
    first = load(settings_of(files, extra_certs=extra), lambda _: context)
    second = load(settings_of(files, extra_certs=extra), lambda _: context)
    assert first.context is second.context
    assert context.sni_callback == second._choose
    load(settings_of(files), lambda _: context)
    assert context.sni_callback is None


def test_factory_that_has_its_own_way_with_names_keeps_it(authority: Authority, files: Files) -> None:
    def factory(make_default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = make_default()
        context.sni_callback = choose
        return context

    def choose(*_: Any) -> None:
        raise AssertionError

    other = authority.server("b.example")
    material = load(settings_of(files, extra_certs=((str(other.combined), None),)), factory)
    assert material.context.sni_callback is choose


def test_factory_that_fails(files: Files) -> None:
    def fails(make_default: Any) -> ssl.SSLContext:
        raise RuntimeError("no")

    assert refusal(settings_of(files), fails) == ("ssl_context_factory", "it raised RuntimeError('no')")
    assert refusal(settings_of(files), lambda _: None) == (
        "ssl_context_factory",
        "it returned None, which is not an ssl.SSLContext",
    )


# ---- Config


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def test_config_reads_its_files(files: Files) -> None:
    config = Config(app, ssl_certfile=str(files.certfile), ssl_keyfile=str(files.keyfile))
    assert config.ssl is None
    assert config.tls_material is None
    config.load()
    material = config.tls_material
    assert material is not None
    assert config.ssl is material.context
    again = config.load_tls()
    assert again is not material
    assert config.tls_material is again
    assert config.ssl is again.context  # type: ignore[union-attr]


def test_config_keeps_what_it_has_if_the_files_cannot_be_used(files: Files) -> None:
    config = Config(app, ssl_certfile=str(files.certfile), ssl_keyfile=str(files.keyfile))
    material = config.load_tls()
    files.keyfile.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        config.load_tls()
    assert config.tls_material is material
    config.load()
    assert config.tls_material is material, "not read twice"


def test_config_without_certificate_reads_nothing() -> None:
    config = Config(app)
    config.load()
    assert config.load_tls() is None
    assert config.ssl is None
    assert config.tls_material is None


def test_config_takes_the_context_that_an_embedder_puts_there(files: Files) -> None:
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for config in (Config(app, ssl_certfile=str(files.certfile), ssl_keyfile=str(files.keyfile)), Config(app)):
        config.load()
        config.ssl = own
        material = config.tls_material
        assert material is not None
        assert material.context is own
        assert material.files == ()
        assert config.tls_material is material
        config.ssl = None
        assert config.tls_material is None


def test_factory_of_config_is_given_the_config(files: Files) -> None:
    seen: list[Any] = []

    def factory(config: Any, make_default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        seen.append(config)
        return make_default()

    config = Config(app, ssl_certfile=str(files.certfile), ssl_keyfile=str(files.keyfile), ssl_context_factory=factory)
    config.load()
    assert seen == [config]
    assert config.ssl is not None
