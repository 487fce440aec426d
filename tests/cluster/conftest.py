"""The clusters of fixtures.py, for the tests in this folder."""

from cluster.fixtures import api_cluster, control_cluster, node_cluster, pytest_collection_modifyitems

__all__ = ["api_cluster", "control_cluster", "node_cluster", "pytest_collection_modifyitems"]
