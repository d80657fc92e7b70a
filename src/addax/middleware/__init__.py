"""Public names for middleware, one module for each, as uvicorn has them: ``addax.middleware.proxy_headers`` …"""
