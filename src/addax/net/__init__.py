"""Floor 3: where bytes come from: transports, listening sockets, deadlines. asyncio lives here."""
