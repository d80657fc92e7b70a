"""Put in front of PYTHONPATH as a directory, never imported as a package: see ``addax.compat.__main__``."""
