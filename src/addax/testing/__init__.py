"""Drive an ASGI application through the real HTTP/1.1 connection, without a socket and without waiting for time.

For the tests of addax and of whoever uses it. ``FakeHost`` stands in for the transport, ``FakeClient`` for the peer,
and ``parse_responses`` reads what was answered and refuses whatever is not exact HTTP/1.1::

    from addax import testing

    async def scenario():
        client = testing.FakeClient(testing.make_service(app))
        await client.send(b"GET / HTTP/1.1\\r\\nHost: example.org\\r\\n\\r\\n")
        (response,) = client.responses()
        assert response.status == 200
        await client.close()

    testing.run(scenario())

``run`` brings an event loop that knows when nothing is left to do: ``settle`` returns then, and not after some time.
What an application leaves to timers or threads is not waited for by ``settle``, but by
``FakeClient.wait_for_responses``.
"""

from __future__ import annotations

from addax.testing.fakes import PEER, FakeClient, FakeHost, make_service
from addax.testing.responses import MalformedResponse, Response, parse_responses
from addax.testing.settling import SettlingLoop, run, settle

__all__ = [
    "PEER",
    "FakeClient",
    "FakeHost",
    "MalformedResponse",
    "Response",
    "SettlingLoop",
    "make_service",
    "parse_responses",
    "run",
    "settle",
]
