"""How much a forward grows the process: `python -m tests.benchmarks.goals.growth WAY NETWORK SECONDS CHANGES`."""

import json
import sys

import torch

from stemsplit.fast import Pool, accelerated
from tests.benchmarks.measuring import growth
from tests.benchmarks.networks import music, network


def main(way: str, name: str, seconds: str, changes: str) -> None:
    """Print the growth in MiB; WAY is `plain` or `fast`."""
    made, mixture = network(name, **json.loads(changes)), music(float(seconds))
    compute = made if way == "plain" else accelerated(made, torch.float32, torch.device("cpu"), Pool())
    with torch.inference_mode():
        compute(mixture[..., :4_096])  # has the weights laid out, which stay
    print(json.dumps({"growth": growth(lambda: compute(mixture))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
