"""What ``ps`` shows of a process: its role and the application. The one place that imports setproctitle.

Called when a process begins, in every role. setproctitle is optional; without it processes keep their command line.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("addax.error")


def title(role: str, app: str, name: str | None) -> str:
    """The title of a process, for example ``addax: worker 2 [main:app]``.

    Args:
        role: ``supervisor``, ``worker 2`` and so on.
        app: where the application is, ``module:attribute``.
        name: what stands in front, as the user wants it; None or empty: ``addax``.
    """
    return f"{name or 'addax'}: {role} [{app}]"


def set_title(text: str) -> bool:
    """Give this process a title.

    Returns:
        Whether that could be done; False without setproctitle.
    """
    try:
        import setproctitle
    except ImportError:
        return False
    setproctitle.setproctitle(text)
    # It has set the short name, which the kernel keeps, to the beginning of the title, blanks included. Who reads
    # /proc/PID/stat up to a blank is misled then; CPython does, and warns at a fork of threads that are not there.
    setproctitle.setthreadtitle(text.partition(":")[0].replace(" ", "-"))
    return True


def set_main_title(role: str, app: str, name: str | None) -> None:
    """Give the process that was started first its title, and warn if one was asked for and cannot be had.

    Args:
        role: see ``title``, as for the other two.
        app: where the application is.
        name: what the user wants to stand in front; None: nobody asked for a title.
    """
    if not set_title(title(role, app, name)) and name is not None:
        logger.warning('--process-title has no effect: it needs setproctitle (try: pip install "addax[title]")')
