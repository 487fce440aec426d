"""``python -m gitdata``: the same program as the ``gitdata`` command."""

from gitdata.cli import main

raise SystemExit(main())
