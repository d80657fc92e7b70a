"""Public helpers around protocols, under uvicorn's names. Its protocol classes have no counterpart here."""
