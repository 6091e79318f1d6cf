"""``python -m tireg``: the same as the ``tireg`` command."""

from __future__ import annotations

from tireg.cli.main import main

if __name__ == "__main__":
    main()
