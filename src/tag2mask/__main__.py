"""`python -m tag2mask`: the command line."""

from __future__ import annotations

from tag2mask.cli import main

if __name__ == "__main__":
    main()
