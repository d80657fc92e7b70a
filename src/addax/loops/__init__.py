"""Floor 3: event loops, one factory for each. A loop whose package is missing drops out of ``auto``."""
