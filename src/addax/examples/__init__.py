"""Applications that come with addax, to look at and to try a server with. They need nothing else of addax."""
