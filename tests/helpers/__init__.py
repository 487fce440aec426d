"""What many tests share; imported as ``helpers`` (``pythonpath`` in pyproject.toml)."""
