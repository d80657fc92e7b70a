"""The line that says where the server listens. Tools wait for it and read the address from it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from addax.core.settings import ListenSettings

_HINT = " (Press CTRL+C to quit)"


def log_running(
    logger: logging.Logger, listen: ListenSettings, scheme: str, addresses: Sequence[tuple[str, int] | str]
) -> None:
    """Log ``Addax running on …``, with the address in bold where the log has colours.

    Args:
        logger: where to.
        listen: what was asked for.
        scheme: ``http`` or ``https``.
        addresses: what was bound, for the port that the kernel chose.
    """
    kind, where = _describe(listen, scheme, addresses)
    logger.info(
        f"Addax running on {kind}%s{_HINT}",
        where,
        extra={"color_message": f"Addax running on {kind}{_bold('%s')}{_HINT}"},
    )


def _describe(listen: ListenSettings, scheme: str, addresses: Sequence[tuple[str, int] | str]) -> tuple[str, str]:
    if listen.fd is not None:
        return "socket ", ", ".join(map(str, addresses))
    if listen.uds is not None:
        return "unix socket ", listen.uds
    # The name that was asked for, not what it resolved to: that is what goes into a browser.
    host = listen.host or "0.0.0.0"
    port = addresses[0][1] if listen.port == 0 else listen.port
    return "", f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m"
