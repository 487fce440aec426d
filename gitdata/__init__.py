"""gitdata: version data with git, run stages when a push changes their inputs, know what made every result."""

__version__ = "0.1.0"
