"""Sees that certificates have changed on disk, and that they are about to expire.

``server.server`` runs one where connections are encrypted. New files are read as a whole and replace the old ones only
if all of it can be used; connections keep what they have, so that nobody notices. Files are looked at by their status,
twice the same before they are read, for a key and its certificate are seldom written at once. What could not be used is
tried again now and then: that is not always the file's fault.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from addax.core.errors import ConfigError
from addax.net.certificates import Certificate, format_date
from addax.net.tls_material import FileStates, TlsMaterial, look_at

logger = logging.getLogger("addax.error")

#: How often files are looked at, in seconds.
LOOK_S = 1.0
#: After how many looks files that could not be used are read again, though they have not changed: descriptors may have
#: run out, or a file system may have been away.
RETRY_LOOKS = 60
#: How often who is about to expire is told of, in seconds.
_WARN_AGAIN_S = 86400.0


class TlsWatch:
    """Looks at the files of a ``TlsMaterial``.

    Args:
        material: in use.
        reload: reads all anew.
        use: takes what ``reload`` has returned into use.
        warning_days: how long before its end a certificate is warned of; 0: never.
        tells_expiry: whether this process does so, of several.
        epoch: the time of day, in seconds since the epoch.
    """

    def __init__(
        self,
        material: TlsMaterial,
        reload: Callable[[], TlsMaterial | None],
        use: Callable[[TlsMaterial], None],
        warning_days: int,
        tells_expiry: bool = True,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._material = material
        self._reload = reload
        self._use = use
        self._warning_days = warning_days
        self._tells_expiry = tells_expiry
        self._epoch = epoch
        self._timer: asyncio.TimerHandle | None = None
        self._warned_at: float | None = None
        #: What was wrong with the files when they were last read.
        self._fault: str | None = None
        self._looks_until_retry = 0
        #: As they were read, perhaps minutes ago: the application has started since.
        self._used = self._look() if material.seen is None else material.seen
        self._seen = self._used

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell when certificates expire, and begin to look."""
        if self._tells_expiry:
            for certificate in self._material.certificates:
                _tell(certificate, self._epoch())
        self.loop = loop
        self._tick()

    def stop(self) -> None:
        """Look no more; twice is harmless."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = self.loop.call_later(LOOK_S, self._tick)
        self.look()

    def look(self) -> None:
        """Look at the files once, and at the calendar."""
        seen, before = self._look(), self._seen
        self._seen = seen
        if seen != self._used and seen == before:
            self._used = seen
            self._fault = None
            self._read()
        elif self._fault is not None:
            self._looks_until_retry -= 1
            if self._looks_until_retry <= 0:
                self._read()
        self._warn()

    def read_now(self) -> None:
        """Read all anew, whether anything has changed or not: somebody has asked for it."""
        if self._material.seen is None:
            logger.info("The certificates are not from files: there is nothing to read anew.")
            return
        self._used = self._seen = self._look()
        self._fault = None
        self._read()
        self._warn()

    def _look(self) -> FileStates:
        return look_at(self._material.files)

    def _read(self) -> None:
        try:
            material = self._reload()
        except ConfigError as error:
            fault, self._fault = self._fault, str(error)
            self._looks_until_retry = RETRY_LOOKS
            if fault != self._fault:
                logger.error("The certificates have changed and cannot be used, the old ones stay in use: %s", error)
            return
        self._fault = None
        if material is None:
            return
        self._material = material
        self._use(material)
        self._warned_at = None
        for certificate in material.certificates:
            logger.info("Took the changed certificate of %s, valid until %s.", *_words(certificate))
            if self._tells_expiry:
                _warn_if_early(certificate, self._epoch())

    def _warn(self) -> None:
        now = self._epoch()
        if not self._tells_expiry or (self._warned_at is not None and now - self._warned_at < _WARN_AGAIN_S):
            return
        self._warned_at = now
        for certificate in self._material.certificates:
            if self._warning_days and certificate.is_near_end(now, self._warning_days):
                left = certificate.days_left(now) or 0.0
                logger.warning(
                    "The certificate of %s (%s) " + ("has expired on %s." if left < 0 else "expires on %s."),
                    certificate.subject,
                    certificate.file,
                    format_date(certificate.ends_at or 0.0),
                )


def _tell(certificate: Certificate, now: float) -> None:
    left = certificate.days_left(now)
    if not _warn_if_early(certificate, now) and left is not None and left >= 0:
        logger.info("The certificate of %s is valid until %s, for %d days.", *_words(certificate), left)


def _warn_if_early(certificate: Certificate, now: float) -> bool:
    """Warn of a certificate that is not valid yet, which every client would refuse; returns whether it is one."""
    begins_at = certificate.begins_at
    if begins_at is None or now >= begins_at:
        return False
    logger.warning(
        "The certificate of %s (%s) is not valid before %s.",
        certificate.subject,
        certificate.file,
        format_date(begins_at),
    )
    return True


def _words(certificate: Certificate) -> tuple[str, str]:
    ends_at = certificate.ends_at
    return certificate.subject, "an unknown day" if ends_at is None else format_date(ends_at)
