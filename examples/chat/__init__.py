"""A chat over WebSockets, in plain ASGI. Run: ``addax examples.chat.app:app`` from the root of the checkout."""
