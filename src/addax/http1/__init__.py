"""Floor 2: HTTP/1.1 as a state machine over bytes. Knows ASGI cycles (floor 1), never a transport or a loop."""
