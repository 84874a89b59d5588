"""What `bench` prints."""

import re
from dataclasses import replace

import pytest

from stemsplit import bench, registry
from stemsplit.terminal.bench import print_report
from stemsplit.terminal.bench_report import bars_in_lines, page_of_bench


def report(rows: list[bench.Row]) -> bench.Report:
    entry = replace(registry.find("starter"), name="<b>mine")
    return bench.Report(entry, True, 87 * 10**11, "cuda:0", "NVIDIA <H200>", None, {"fp32": 5e13, "bf16": 8e14}, rows)


ROWS = [
    bench.Row("fp32", 1, bench.Figures(2.0, 4.0, 2**30, 1.2e12, 0.25)),
    bench.Row("bf16", 1, bench.Figures(1.0, 8.0, None, 799e12, 0.5)),
    bench.Row("bf16", 64, None),
]


def test_bars_in_a_terminal_are_as_long_as_their_figures() -> None:
    lines = bars_in_lines(report(ROWS), 80, blocks=False)
    speeds, shares = lines[2:5], lines[7:10]
    assert [line.count("#") for line in speeds] == [20, 40, 0]
    assert [line.count("#") for line in shares] == [10, 20, 0]  # of all that the machine can do
    assert [line.split()[-1] for line in speeds] == ["4.00x", "8.00x", "memory"]
    assert "bf16, batch size 64" in shares[2]
    assert max(map(len, lines)) <= 80
    assert bars_in_lines(report(ROWS), 20, blocks=True) == []


def test_a_page_shows_the_same_bars_and_all_figures() -> None:
    page = page_of_bench(report(ROWS)).decode()
    assert "<b>" not in page
    widths = list(map(float, re.findall(r'<rect [^>]*width="([\d.]+)"', page)))
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    assert widths[4] == pytest.approx(2 * widths[3], abs=0.2)
    assert widths[2] == widths[5] == 0
    assert "out of memory" in page
    assert "1,000.0" in page
    assert "a 4-minute song: about " in page


KERNELS = [
    bench.Kernel("linear 1536 to 384", "bf16", "oneDNN", 0.214, 2.34e11, 0.7812),
    bench.Kernel("linear 384 to 1536", "bf16", "PyTorch's BLAS", 0.214, 1.34e12, 1.0),
]


def test_kernels_are_shown_with_their_share_of_the_machine_s_rate(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(replace(report(ROWS), kernels=KERNELS))
    *_, kernels, songs = capsys.readouterr().out.split("\n\n")
    _, first, _ = kernels.splitlines()
    assert first.split()[-5:] == ["bf16", "oneDNN", "21%", "234", "78%"]
    assert max(map(len, kernels.splitlines())) <= 80
    assert songs.startswith("a 4-minute song")
    assert "PyTorch&#x27;s BLAS" in page_of_bench(replace(report(ROWS), kernels=KERNELS)).decode()


def test_a_table_of_large_figures_fits_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    entry = replace(registry.find("starter"), name="bs-roformer-vocals-resurrection")
    rows = [
        bench.Row("fp32", 8, bench.Figures(123.4567, 0.0324, 45 * 2**30, 1.2e12, 0.71)),
        bench.Row("bf16", 16, bench.Figures(0.0012, 3_333.33, None, 799e12, 1.01)),
        bench.Row("bf16", 64, None),
    ]
    print_report(
        bench.Report(entry, True, 87 * 10**11, "cuda:0", "NVIDIA H200", None, {"fp32": 5e13, "bf16": 8e14}, rows)
    )
    table, songs = capsys.readouterr().out.split("\n\n")[1:]
    lines = table.splitlines()
    assert max(map(len, [*lines, *songs.splitlines()])) <= 80
    assert songs.startswith("a 4-minute song: about ")
    assert "123,456.7" in lines[-3]
    assert "?" in lines[-2]
    assert "out of memory" in lines[-1]
