"""Processes that serve: started, watched over, replaced, and stopped."""
