from __future__ import annotations

import asyncio
from typing import Any

import pytest

from addax.asgi.state import ServerState
from addax.core.errors import ConfigError
from addax.core.settings import Settings
from addax.server.build import Assembly
from tests.parsers import USABLE_PARSERS


class Broken:
    """A parser as somebody might write it."""

    def __init__(self, handler: object) -> None:
        raise AssertionError


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def assemble(http: str) -> None:
    loop = asyncio.new_event_loop()
    try:
        Assembly(Settings(http=http), app, ServerState(), {}, loop).close()
    finally:
        loop.close()


@pytest.mark.parametrize("http", ["auto", *USABLE_PARSERS])
def test_parsers_of_the_table_can_be_used(http: str):
    assemble(http)


def test_a_parser_that_cannot_be_made_is_told_at_the_start():
    with pytest.raises(ConfigError, match=r"--http: '.*:Broken' cannot be used: TypeError"):
        assemble(f"{__name__}:Broken")
