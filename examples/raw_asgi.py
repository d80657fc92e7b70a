"""ASGI without a framework. Run: ``addax examples.raw_asgi:app`` from the root of the checkout."""


async def app(scope, receive, send):
    """Say hello, and echo the body of a POST."""
    if scope["type"] == "lifespan":
        await answer_lifespan(receive, send)
        return
    body = b"Hello from plain ASGI\n"
    if scope["method"] == "POST":
        body = await read_body(receive)
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer_lifespan(receive, send):
    """Open what the application needs on startup, close it on shutdown."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def read_body(receive):
    """Collect the request body; fine for small ones, see ``addax.examples.showcase`` for a stream."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
