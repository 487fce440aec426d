"""A real one-node Kubernetes for tests, on a bare machine. ``testbed.py`` is the way in; README.md says how."""
