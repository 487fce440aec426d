"""Data in a person's repository and on the remote: hashing, cache, transfer, workspace."""
