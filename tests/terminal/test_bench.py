"""What `bench` prints."""

from dataclasses import replace

import pytest

from stemsplit import bench, registry
from stemsplit.terminal.bench import print_report


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
