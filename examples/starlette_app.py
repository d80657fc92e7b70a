"""Starlette with a lifespan, its state, a stream and a background task. Run: ``addax examples.starlette_app:app``."""

import asyncio
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route


@asynccontextmanager
async def lifespan(app):
    """What is yielded is in ``request.state`` of every request."""
    yield {"greetings": ["hello", "hei", "salam"]}


async def home(request):
    """Answer from the state, and note the visit after the answer is out."""
    return JSONResponse(request.state.greetings, background=BackgroundTask(note_visit, request.app))


async def visits(request):
    """How many background tasks have run."""
    return JSONResponse({"visits": request.app.state.visits})


async def count(request):
    """A stream of ten lines."""

    async def lines():
        for number in range(10):
            yield f"{number}\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(lines(), media_type="text/plain")


def note_visit(app):
    app.state.visits += 1


app = Starlette(lifespan=lifespan, routes=[Route("/", home), Route("/visits", visits), Route("/count", count)])
app.state.visits = 0
