"""Text to model and back, pure: ``docs/formats.md`` in code."""
