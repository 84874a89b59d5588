"""Runs a Ray cluster on this machine: a head and another node, of one core each.

python tests/cluster/nodes.py, which prints the cluster's address once its head runs. A line that it
reads ends the other node without grace; then it prints `killed`. It ends with its input.
"""

import sys
from typing import Any

from ray.cluster_utils import Cluster

SMALL = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}


def main() -> None:
    """Run the cluster until there is nothing more to read."""
    cluster: Any = Cluster(initialize_head=True, head_node_args=SMALL)
    print(cluster.address, flush=True)
    node = cluster.add_node(**SMALL)
    if sys.stdin.readline():
        cluster.remove_node(node, allow_graceful=False)
        print("killed", flush=True)
        sys.stdin.readline()
    cluster.shutdown()


if __name__ == "__main__":
    main()
