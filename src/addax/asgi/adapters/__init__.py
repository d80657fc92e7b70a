"""Applications of other interfaces, made into ASGI 3: one file for each interface, chosen by ``config.load_app``."""
