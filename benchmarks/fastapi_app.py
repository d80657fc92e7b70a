"""The same question put to FastAPI: one route with a typed answer, as its users write it."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI(openapi_url=None)


class Greeting(BaseModel):
    """What ``/json`` answers with."""

    message: str
    count: int


@app.get("/json")
async def greet() -> Greeting:
    """The route that is measured."""
    return Greeting(message="Hello, world!", count=3)
