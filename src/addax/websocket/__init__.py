"""WebSocket: handshake, frames, compression, closing, and the connection that puts them together."""
