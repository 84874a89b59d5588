"""Speed of a model as a multiple of real time, and of its parts against each other, in one run.

python -m tests.benchmarks.speed [MODEL]
"""

import sys
import time
from collections.abc import Callable
from statistics import median

import torch

from stemsplit import Separator
from stemsplit.overlap_add import overlap_add


def seconds(work: Callable[[], object], runs: int = 5) -> float:
    """Median wall time."""
    times = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times[1:])


def main() -> None:
    """Print the figures."""
    separator = Separator(sys.argv[1] if len(sys.argv) > 1 else "starter")
    rate, duration = separator.entry.sample_rate, 24
    mixture = 0.1 * torch.randn(2, duration * rate)
    with torch.inference_mode():
        whole = seconds(lambda: separator.separate(mixture, rate), 3)
        chunk = mixture[None, :, : separator.chunk]
        network = seconds(lambda: separator.compute(chunk.to(separator.device)))
        settings = {"chunk": separator.chunk, "hop": separator.hop}
        joining = seconds(lambda: overlap_add(mixture, lambda x: x[:, None].expand(-1, 4, -1, -1), **settings))
    chunks = duration * rate / separator.hop + 1
    print(f"device {separator.device}, {torch.get_num_threads()} threads")
    print(f"{separator.entry.name}: {duration / whole:.1f}x real time over {duration} s")
    print(f"network: {chunk.shape[-1] / rate / network:.1f}x real time on one chunk")
    print(
        f"share of the whole: network {chunks * network / whole:.0%}, cutting and joining chunks {joining / whole:.0%}"
    )


if __name__ == "__main__":
    main()
