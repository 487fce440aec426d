"""One user verb a file: ``configure(parser)`` and ``run(args) -> int``; the table of verbs is in ``verbs.py``."""
