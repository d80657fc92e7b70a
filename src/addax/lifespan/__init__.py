"""Public names for running an application's lifespan without a server, as uvicorn has them."""
