"""Fuzz targets: one for each decoder, each with its invariant in the first line of its file.

They run with the whole suite, with few examples and always the same ones. To search for longer, with new examples each
time::

    ADDAX_FUZZ_EXAMPLES=20000 python -m pytest tests/fuzz

``run_native.py`` runs by itself, faster and without hypothesis: it holds the parsers against plain Python.

A failure prints the smallest input that was found and a line that plays it again.
"""
