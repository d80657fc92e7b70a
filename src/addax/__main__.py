"""``python -m addax``."""

from __future__ import annotations

from addax.cli import main

if __name__ == "__main__":
    main()
