"""FullSubNet+'s channel attention against the convolutions whose means it takes.

python -m tests.benchmarks.mulca [SECONDS ...]      default: 10 60
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d
from torch.profiler import ProfilerActivity, profile

from stemsplit.models.fullsubnet_plus_attention import ChannelAttention
from tests.benchmarks.measuring import interleaved, machine, relative_error

BINS, FRAMES_A_SECOND, LOOK_AHEAD = 257, 62.5, 2
REPEATS = 30


class Plain(ChannelAttention):
    """The same, computed as published."""

    def means(self, x: Tensor) -> Tensor:
        """(b, c, m) -> (b, c, 3)."""
        return torch.stack([adaptive_avg_pool1d(conv(x), 1)[..., 0] for conv in self.convs], -1)


def repeated(work: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], Tensor]:
    """Work that is too short to be timed once."""

    def many() -> Tensor:
        for _ in range(REPEATS - 1):
            work(x)
        return work(x)

    return many


def peak(work: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """MiB of tensors at most that a piece of work holds at a time, its result among them."""
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as p:
        work(x)
    with tempfile.TemporaryDirectory() as folder:
        p.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(f"{folder}/trace.json").read_text())["traceEvents"]
    now = most = 0
    for event in sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"]):
        now += event["args"]["Bytes"]
        most = max(most, now)
    return most / 2**20


def compare(seconds: float) -> None:
    """Print time and memory of both ways, of the means alone and of the whole attention."""
    torch.manual_seed(0)
    short, plain = ChannelAttention(BINS, (3, 5, 10)).eval(), Plain(BINS, (3, 5, 10)).eval()
    plain.load_state_dict(short.state_dict())
    x = torch.rand(1, BINS, int(seconds * FRAMES_A_SECOND) + 1 + LOOK_AHEAD)
    for what, new, old in (("means", short.means, plain.means), ("whole", short, plain)):
        found = interleaved({"new": repeated(new, x), "old": repeated(old, x)}, rounds=7)
        error = relative_error(found["new"].result, found["old"].result)
        times = [1e6 * found[name].cpu / REPEATS for name in ("old", "new")]
        sizes = [peak(old, x), peak(new, x)]
        print(
            f"{seconds:5.0f} s, {what}: {times[0]:7.0f} us -> {times[1]:5.0f} us ({times[0] / times[1]:4.1f}x), "
            f"{sizes[0]:6.2f} MiB -> {sizes[1]:5.2f} MiB ({sizes[0] / sizes[1]:4.1f}x), relative error {error:.1e}",
            flush=True,
        )


def main() -> None:
    """Print the machine and a comparison for each length, on one core."""
    torch.set_num_threads(1)
    print(machine())
    for seconds in [float(word) for word in sys.argv[1:]] or [10.0, 60.0]:
        compare(seconds)


if __name__ == "__main__":
    main()
