"""The lines that say where the server listens. Tools wait for them and read the address from there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from addax.core.settings import Bind
from addax.net.listen import Address, describe

_HINT = " (Press CTRL+C to quit)"


def log_running(logger: logging.Logger, binds: Sequence[Bind], scheme: str, bound: Sequence[Sequence[Address]]) -> None:
    """Log ``Addax running on …`` for each bind, with the address in bold where the log has colours.

    Args:
        logger: where to.
        binds: what was asked for; empty if nobody has asked, because the sockets were somebody else's.
        scheme: ``http`` or ``https``.
        bound: what was bound for each of them.
    """
    if len(binds) != len(bound):
        # Sockets that came from elsewhere: what the options say of an address is not what was bound.
        bound = [[address] for group in bound for address in group]
        binds = [_as_bind(address) for (address,) in bound]
    for bind, addresses in zip(binds, bound, strict=True):
        kind, where = describe(bind, addresses, scheme)
        logger.info(
            f"Addax running on {kind}%s{_HINT}",
            where,
            extra={"color_message": f"Addax running on {kind}{_bold('%s')}{_HINT}"},
        )


def _as_bind(address: Address) -> Bind:
    return Bind(uds=address) if isinstance(address, str) else Bind(host=address[0], port=address[1])


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m"
