"""Floor 1: what a worker tells about its work. Standard library only; makes records, configures nothing."""
