"""Runs a Ray cluster on this machine: a head without cores, and two nodes of one core each.

python tests/cluster/nodes.py, which prints the cluster's address once it runs. Each line `kill` that it reads ends a
node without grace, and starts another; then it prints `killed`. It ends with its input.
"""

import sys
from typing import Any

from ray.cluster_utils import Cluster

SMALL = {"include_dashboard": False, "object_store_memory": 80_000_000}


def main() -> None:
    """Run the cluster until there is nothing more to read."""
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
    nodes = [cluster.add_node(num_cpus=1, **SMALL) for _ in range(2)]
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(nodes.pop(0), allow_graceful=False)
        print("killed", flush=True)
        nodes.append(cluster.add_node(num_cpus=1, **SMALL))
    cluster.shutdown()


if __name__ == "__main__":
    main()
