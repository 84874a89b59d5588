"""From a checkpoint's file of 913 MB to a network that can compute: `python -m tests.benchmarks.ready WAY FILE`.

WAY is `written` to make the file, `copied` to build the network, load the file and copy its tensors, as the field does,
or `mapped` to do what `Separator` does. Prints seconds of CPU time and MiB of private memory.
"""

import gc
import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

from stemsplit.checkpoints import checkpoint
from stemsplit.fast import Pool, accelerated
from stemsplit.models import build
from tests.benchmarks.measuring import private
from tests.benchmarks.networks import CONFIGS, network

ARCHITECTURE, CONFIG = CONFIGS["Mel"]


def written(path: Path) -> None:
    """Make the file."""
    torch.save(network("Mel").state_dict(), path)


def copied(path: Path) -> object:
    """What it is compared with."""
    made = build(ARCHITECTURE, CONFIG)
    made.load_state_dict(torch.load(path, weights_only=True))
    return made.eval()


def mapped(path: Path) -> object:
    """What `Separator` does with a file that is there."""
    tensors = checkpoint.read(path)
    with torch.device("meta"):
        made: nn.Module = build(ARCHITECTURE, CONFIG)
    checkpoint.load(made, tensors, "Mel")
    return accelerated(made.eval(), torch.float32, torch.device("cpu"), Pool())


def main() -> None:
    """Do it one way."""
    way, path = sys.argv[1], Path(sys.argv[2])
    gc.freeze()  # as the command does
    before, started = private(), time.process_time()
    made = {"written": written, "copied": copied, "mapped": mapped}[way](path)
    print(json.dumps({"cpu": time.process_time() - started, "private": private() - before}))
    del made


if __name__ == "__main__":
    main()
