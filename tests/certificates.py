"""Certificates for tests, made by the ``openssl`` command: two processes for each, and each kind once per session.

The session fixtures ``authority`` and ``other_authority`` (``tests/conftest.py``) are where a test gets them. The files
belong to the whole session: who wants to change them copies them first (``Files.copy_to``).
"""

from __future__ import annotations

import ipaddress
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

DAY_S = 86400.0
PASSWORD = "a password"
_KEYS = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}

_CONFIG = """
[ca]
default_ca = this
[this]
dir = {folder}
new_certs_dir = {folder}
database = {folder}/index.txt
certificate = {folder}/authority.pem
private_key = {folder}/authority.key
rand_serial = yes
default_md = sha256
policy = anything
unique_subject = no
email_in_dn = yes
[anything]
commonName = optional
[req]
distinguished_name = names
string_mask = utf8only
[names]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
_LEAF = """
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
_INTERMEDIATE = """
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Files:
    """A certificate with what leads to its authority, and its key.

    Attributes:
        certfile: the chain, the certificate itself first.
        keyfile: the private key.
        password: of the key; None: it is not encrypted.
    """

    certfile: Path
    keyfile: Path
    password: str | None = None

    @property
    def combined(self) -> Path:
        """Key and chain in one file."""
        path = self.certfile.with_name("combined.pem")
        if not path.exists():
            path.write_text(self.keyfile.read_text() + self.certfile.read_text())
        return path

    @property
    def pem(self) -> str:
        """The certificate alone, as text that ``ssl`` writes alike."""
        text = self.certfile.read_text()
        end = "-----END CERTIFICATE-----\n"
        return text[: text.index(end)] + end

    def copy_to(self, folder: Path, stem: str = "server") -> Files:
        """The same under names of one's own: ``server.pem`` and ``server.key``."""
        certfile, keyfile = folder / f"{stem}.pem", folder / f"{stem}.key"
        shutil.copyfile(self.certfile, certfile)
        shutil.copyfile(self.keyfile, keyfile)
        return Files(certfile, keyfile, self.password)


class Authority:
    """Signs certificates.

    Args:
        folder: for files; is made.
        name: common name.
        parent: who has signed its own; None: itself.
    """

    def __init__(self, folder: Path, name: str = "Test Authority", parent: Authority | None = None) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._config = folder / "openssl.cnf"
        self._config.write_text(_CONFIG.format(folder=folder))
        (folder / "index.txt").touch()
        self._made: dict[tuple[object, ...], Files] = {}
        self._intermediates: dict[str, Authority] = {}
        #: The authority's own certificate; for who trusts it.
        self.file = folder / "authority.pem"
        #: What stands behind the certificates that it signs.
        self._chain = ""
        key = ["-newkey", *_KEYS["ec"], "-nodes", "-keyout", str(folder / "authority.key")]
        if parent is None:
            own = ["-x509", "-days", "30", "-extensions", "authority", "-out", str(self.file)]
            self._run("req", "-config", str(self._config), *key, "-subj", f"/CN={name}", *own)
        else:
            request = folder / "authority.csr"
            self._run("req", "-config", str(self._config), "-new", *key, "-subj", f"/CN={name}", "-out", str(request))
            parent._sign(request, self.file, _INTERMEDIATE, -DAY_S, 30 * DAY_S)
            self._chain = self.file.read_text() + parent._chain

    def server(
        self,
        *names: str,
        key: str = "ec",
        password: str | None = None,
        subject: str | None = None,
        begins_in_s: float = -DAY_S,
        ends_in_s: float = 29 * DAY_S,
    ) -> Files:
        """A server's certificate.

        Args:
            names: hosts and IP addresses; none: it has no alternative names.
            key: ``ec`` or ``rsa``.
            password: encrypts the key.
            subject: as ``openssl`` writes it (``/O=x/CN=y``); None: the first name is the common name.
            begins_in_s: when it becomes valid, in seconds from now.
            ends_in_s: when it expires; negative: it has expired.
        """
        subject = subject or f"/CN={names[0] if names else 'localhost'}"
        return self._issue("serverAuth", subject, names, key, password, begins_in_s, ends_in_s)

    def client(
        self, subject: str = "/CN=client", key: str = "ec", begins_in_s: float = -DAY_S, ends_in_s: float = 29 * DAY_S
    ) -> Files:
        """A client's certificate; the other arguments are as of ``server``.

        Args:
            subject: distinguished name, in the certificate's order: ``/C=DE/O=x/CN=y``, ``+`` joins two of one level.
        """
        return self._issue("clientAuth", subject, (), key, None, begins_in_s, ends_in_s)

    def intermediate(self, name: str = "Test Intermediate") -> Authority:
        """An authority whose certificate this one has signed; files of its certificates have that too."""
        if name not in self._intermediates:
            self._intermediates[name] = Authority(self._folder / f"below{len(self._intermediates)}", name, self)
        return self._intermediates[name]

    def client_context(self, files: Files | None = None) -> ssl.SSLContext:
        """For a client that trusts this authority, and shows a certificate of its own if it has one."""
        context = ssl.create_default_context(cafile=str(self.file))
        if files is not None:
            context.load_cert_chain(files.certfile, files.keyfile, files.password)
        return context

    def _issue(
        self,
        usage: str,
        subject: str,
        names: Sequence[str],
        key: str,
        password: str | None,
        begins_in_s: float,
        ends_in_s: float,
    ) -> Files:
        kind = (usage, subject, names, key, password, begins_in_s, ends_in_s)
        if kind not in self._made:
            folder = self._folder / str(len(self._made))
            folder.mkdir()
            files = Files(folder / "chain.pem", folder / "private.key", password)
            request = folder / "request.csr"
            secret = ["-nodes"] if password is None else ["-passout", f"pass:{password}"]
            made = ["-newkey", *_KEYS[key], *secret, "-keyout", str(files.keyfile), "-out", str(request)]
            self._run("req", "-config", str(self._config), "-new", "-utf8", "-subj", subject, *made)
            extensions = _LEAF.format(usage=usage)
            if names:
                extensions += "subjectAltName = " + ", ".join(map(_alternative, names)) + "\n"
            self._sign(request, files.certfile, extensions, begins_in_s, ends_in_s)
            with files.certfile.open("a") as stream:
                stream.write(self._chain)
            self._made[kind] = files
        return self._made[kind]

    def _sign(self, request: Path, out: Path, extensions: str, begins_in_s: float, ends_in_s: float) -> None:
        described = request.with_suffix(".ext")
        described.write_text(extensions)
        dates = ["-startdate", _date(begins_in_s), "-enddate", _date(ends_in_s)]
        quiet = ["-batch", "-notext", "-preserveDN"]
        files = ["-in", str(request), "-out", str(out), "-extfile", str(described)]
        self._run("ca", "-config", str(self._config), *quiet, *dates, *files)

    @staticmethod
    def _run(*args: str) -> None:
        ran = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def _date(in_s: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(seconds=in_s)).strftime("%Y%m%d%H%M%SZ")
