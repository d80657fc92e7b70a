"""Starts fastpysgi as its own command does, with the one setting that command has no option for: the size of a body.

python start_fastpysgi.py MODULE:ATTRIBUTE PORT [CERTIFICATE KEY]
"""

from __future__ import annotations

import sys
from importlib import import_module

import fastpysgi

if __name__ == "__main__":
    module, _, attribute = sys.argv[1].partition(":")
    if len(sys.argv) > 3:
        fastpysgi.server.tls_list = [(sys.argv[3], sys.argv[4], None)]
    # Uploads of a GiB; in bytes.
    fastpysgi.server.max_content_length = 2**31 - 1
    fastpysgi.run(getattr(import_module(module), attribute), "127.0.0.1", int(sys.argv[2]))
