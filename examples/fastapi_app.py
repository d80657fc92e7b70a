"""FastAPI. Run: ``addax examples.fastapi_app:app``, then look at http://127.0.0.1:8000/docs."""

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

app = FastAPI(title="Notes")
notes: dict[int, "Note"] = {}


class Note(BaseModel):
    """One note."""

    text: str = Field(min_length=1, max_length=1000)


@app.post("/notes", status_code=201)
async def add(note: Note) -> dict[str, int]:
    number = len(notes) + 1
    notes[number] = note
    return {"id": number}


@app.get("/notes/{number}")
async def read(number: int) -> Note:
    if number not in notes:
        raise HTTPException(404, "no such note")
    return notes[number]
