"""What a benchmark measures, and how its figures are derived."""

import sys
from dataclasses import replace
from math import isfinite

import pytest
import torch
from torch import Tensor

from stemsplit import bench, registry
from stemsplit.checkpoints.loading import fresh_network
from stemsplit.engine.work import linear_flops
from stemsplit.errors import DeviceError, RegistryError
from stemsplit.fast import Pool
from stemsplit.fast.cpu.linear import Linear

CPU = torch.device("cpu")
SMALL = replace(
    registry.find("bs-roformer"),
    config={"dim": 8, "depth": 1, "dim_head": 4, "heads": 2, "mlp_expansion_factor": 1, "num_stems": 4},
    channels=1,
    chunk=8_820,
    hop=2_205,
)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SIDES", {"cpu": 64})
    monkeypatch.setattr(bench, "GEMM_SECONDS", 0.0)
    monkeypatch.setattr(bench, "ENOUGH_SECONDS", 0.0)


@pytest.mark.parametrize(("name", "teraflops"), [("mel-roformer-vocals", 3.11), ("bs-roformer-vocals-viperx", 8.70)])
def test_a_chunk_s_work_is_that_of_the_published_network(name: str, teraflops: float) -> None:
    """The expected numbers are counted by hand from the layers' shapes."""
    assert bench.count_flops(registry.find(name)) == pytest.approx(1e12 * teraflops, rel=0.01)


def test_the_work_of_convolutions_is_proportional_to_the_chunk() -> None:
    once = registry.find("sudormrf-speech")
    twice = replace(once, chunk=2 * once.chunk)
    assert bench.count_flops(twice) == pytest.approx(2 * bench.count_flops(once), rel=0.02)  # except for padding


def test_figures_are_those_of_a_chunk() -> None:
    entry = replace(SMALL, sample_rate=1_000, chunk=8_000, hop=4_000)
    figures = bench.figures(entry, seconds=0.5, memory=None, flops=10**9, gemm=8e9)
    assert figures == bench.Figures(seconds=0.5, real_time=8.0, memory=None, rate=2e9, share=0.25)


def test_each_precision_and_batch_size_is_measured() -> None:
    precisions, messages = bench.formats((), CPU), list[str]()
    report = bench.measure(SMALL, CPU, precisions, (1, 2), threads=2, random_weights=True, tell=messages.append)
    assert [(row.precision, row.batch_size) for row in report.rows] == [(p, n) for p in precisions for n in (1, 2)]
    for row in report.rows:
        assert row.figures
        numbers = (row.figures.seconds, row.figures.real_time, row.figures.rate, row.figures.share)
        assert all(isfinite(number) and number > 0 for number in numbers)
        assert row.figures.real_time * row.figures.seconds == pytest.approx(SMALL.hop / SMALL.sample_rate)
        assert row.figures.share == pytest.approx(row.figures.rate / report.gemm[row.precision])
    assert (report.flops, report.threads, report.device) == (bench.count_flops(SMALL), 2, "cpu")
    assert "fp32, batch size 2: the first call" in messages


def test_the_largest_layers_are_measured_as_they_are_computed() -> None:
    """Most work first, and no more of it than there is."""
    flops = bench.count_flops(SMALL)
    found = list(bench.kernels(SMALL, "fp32", flops, 1e9, Pool(2)))
    assert 1 <= len(found) <= bench.MOST_KERNELS
    works = [kernel.work or 0.0 for kernel in found]
    assert works == sorted(works, reverse=True)
    assert bench.LEAST_WORK <= works[-1] <= sum(works) <= 1
    assert all(kernel.rate and kernel.share == pytest.approx(kernel.rate / 1e9) for kernel in found)
    assert {kernel.kernel for kernel in found} == {Linear(torch.ones(1, 1), None).library}


def test_a_choice_s_rate_is_that_of_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not measured has no rate, and other precisions are left out."""
    found = [
        ("products with weights", "fp32", "MKL", 5e10, True),
        ("products with weights", "bf16", "oneDNN", 9e10, False),
        ("attention", "fp32", "fused", None, False),
    ]
    monkeypatch.setattr(bench, "chosen", lambda: found)
    products, attention = bench.choices({"fp32": 2e11}, threads=2)
    assert products == bench.Kernel("products with weights", "fp32", "MKL", None, 1e11, 0.5)
    assert (attention.rate, attention.share) == (None, None)


@pytest.mark.parametrize("name", ["mel-roformer-vocals", "sudormrf-speech"])
def test_most_work_of_a_published_network_is_in_linear_layers(name: str) -> None:
    entry = registry.find(name)
    assert 0.5 < sum(linear_flops(entry).values()) / bench.count_flops(entry) <= 1


def test_a_batch_that_does_not_fit_does_not_end_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(mixture: Tensor) -> Tensor:
        if len(mixture) == 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return mixture[:, None]

    monkeypatch.setattr(bench, "accelerated", lambda *_, **__: compute)
    report = bench.measure(SMALL, CPU, {"fp32": torch.float32}, (1, 2, 3), threads=1, random_weights=True)
    assert [row.figures is None for row in report.rows] == [False, True, False]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can reset the peak")
def test_memory_is_what_a_call_needs_besides_what_was_in_use() -> None:
    in_use = torch.ones(8_000_000)
    grown = [bench.memory_growth(lambda: torch.ones(16_000_000).sum(), CPU) for _ in range(2)]
    assert grown == pytest.approx([64e6, 64e6], rel=0.1)
    assert in_use.all()


def test_without_names_all_precisions_of_the_device_are_measured() -> None:
    assert bench.formats((), CPU)["fp32"] == torch.float32
    assert "fp16" not in bench.formats((), CPU)


def test_auto_stands_for_one_of_the_others() -> None:
    assert bench.formats(["auto", "fp32"], CPU) == {"fp32": torch.float32}


def test_auto_is_what_the_model_is_computed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert bench.formats(["auto"], CPU, bfloat16=True) == {"bf16": torch.bfloat16}


@pytest.mark.parametrize(("name", "complaint"), [("fp8", "no precision 'fp8'"), ("fp16", "for CUDA devices")])
def test_an_unsupported_precision_is_refused(name: str, complaint: str) -> None:
    with pytest.raises(DeviceError, match=complaint):
        bench.formats(["fp32", name], CPU)


def test_a_config_that_does_not_make_a_network_is_refused() -> None:
    with pytest.raises(RegistryError, match="makes no network"):
        bench.measure(replace(SMALL, stems=("vocals",)), CPU, {"fp32": torch.float32}, random_weights=True)


def test_random_weights_are_always_the_same_and_do_not_change_the_random_state() -> None:
    before = torch.random.get_rng_state()
    first, second = (fresh_network(SMALL).state_dict() for _ in range(2))
    assert all(first[key].equal(second[key]) for key in first)
    assert torch.random.get_rng_state().equal(before)
