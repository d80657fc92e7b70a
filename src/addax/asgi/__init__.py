"""Floor 1: what ASGI says, written once for every protocol. Knows futures, not transports."""
