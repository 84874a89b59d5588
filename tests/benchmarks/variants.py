"""Time of a chunk of every published variant: `python -m tests.benchmarks.variants [--blocks N] [VARIANT ...]`.

Each network has its published size and random weights. The plain network and the fast one take turns on 8 seconds of
music, with as many threads. With `--blocks`, networks have only so many of their blocks, which are all alike. On a busy
machine, CPU time tells more than the time that passes. Prints a table.
"""

import argparse
import os
from functools import partial
from typing import Any

import torch

from stemsplit.fast import Pool, accelerated
from stemsplit.fast.plain import Plain
from tests.benchmarks.measuring import interleaved, machine, relative_error
from tests.benchmarks.networks import STEREO, music, trained_like

CPU = torch.device("cpu")
SECONDS = 8.0

BS = {**STEREO, "dim": 256, "depth": 12}
MEL = {**STEREO, "dim": 384, "depth": 6, "num_bands": 60}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("bs_roformer", BS),
    "leap": ("bs_roformer", {**BS, "depth": 16}),
    "polar": ("bs_roformer", {**BS, "use_pope": True}),
    "large_inst_v2": ("bs_roformer", {**BS, "variant": "large_inst_v2"}),
    "value_residual": ("bs_roformer", {**BS, "dim": 384, "variant": "value_residual"}),
    "hyperace_v1": ("bs_roformer", {**BS, "variant": "hyperace_v1"}),
    "hyperace_v2": ("bs_roformer", {**BS, "variant": "hyperace_v2"}),
    "fno": ("bs_roformer", {**BS, "variant": "fno"}),
    "shared_bias": ("bs_roformer", {**BS, "num_stems": 6, "variant": "shared_bias"}),
    "mel": ("mel_band_roformer", MEL),
    "windowed": ("mel_band_roformer", {**MEL, "variant": "windowed"}),
}


def row(name: str, blocks: int | None, rounds: int, pool: Pool) -> str:
    """One line of the table."""
    architecture, config = VARIANTS[name]
    depth = min(blocks or config["depth"], config["depth"])
    network, mixture = trained_like(architecture, {**config, "depth": depth}), music(SECONDS)
    works = {
        "plain": Plain(network, torch.float32, CPU, pool.threads),
        "fast": accelerated(network, torch.float32, CPU, pool),
    }
    with torch.inference_mode():
        for work in works.values():
            work(mixture[..., :8_192])  # has the weights laid out, which stay
    found = interleaved({way: partial(work, mixture) for way, work in works.items()}, rounds, warm=False)
    plain, fast = found["plain"], found["fast"]
    cells = [name, f"{depth} of {config['depth']}"]
    cells += [f"{timing.wall:.1f} s ({timing.cpu:.1f} s)" for timing in (plain, fast)]
    cells += [f"{plain.wall / fast.wall:.2f} ({plain.cpu / fast.cpu:.2f})"]
    cells += [f"{relative_error(fast.result, plain.result):.1e}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table as it comes."""
    parser = argparse.ArgumentParser(description="Time of a chunk of every published variant.")
    parser.add_argument("--blocks", type=int, help="Number of blocks of each network; all by default.")
    parser.add_argument("--rounds", type=int, default=1, help="Number of times that each is measured.")
    parser.add_argument("--threads", type=int, default=2, help="Number of threads.")
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=f"{', '.join(VARIANTS)}; all by default.")
    given = parser.parse_args()
    if unknown := [name for name in given.variants if name not in VARIANTS]:
        parser.error(f"there is no variant {unknown[0]!r}")
    pool = Pool(given.threads)
    print(f"{machine()}; {given.threads} threads; load before {os.getloadavg()[0]:.1f}\n")
    print("| variant | blocks | plain (CPU time) | fast (CPU time) | times faster | error |")
    print("|---|---|---|---|---|---|", flush=True)
    for name in given.variants or VARIANTS:
        print(row(name, given.blocks, given.rounds, pool), flush=True)


if __name__ == "__main__":
    main()
