"""The tests that need a GPU, as rows."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests.benchmarks.parts import Row

PLACES = ("tests/fast", "tests/engine")
"""Where such tests are. Their names, or those of their files, have "gpu" in them."""


def rows(path: Path) -> Iterator[Row]:
    """Rows of a report of pytest's: how many tests passed, then each that did not."""
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    skipped = sum(case.find("skipped") is not None for case in cases)
    bad = [(case, problem) for case in cases for problem in (*case.iter("failure"), *case.iter("error"))]
    passed = len(cases) - skipped - len({id(case) for case, _ in bad})
    counts = f"{passed} passed, {len(cases) - skipped - passed} failed, {skipped} skipped"
    yield Row(
        "tests that need a GPU",
        "",
        counts,
        "",
        "all pass",
        met=passed > 0 and not bad if skipped < len(cases) else None,
    )
    for case, problem in bad:
        said = problem.get("message") or (problem.text or "").strip().rpartition("\n")[2]
        name = f"{case.get('classname')}::{case.get('name')}"
        yield Row(f"test {name}", "", "failed", "", "passes", said.partition("\n")[0][:200], False)


def results(places: Sequence[str] = PLACES, keyword: str = "gpu") -> Iterator[Row]:
    """Run tests whose names have a word, and yield rows about them.

    Raises:
        SystemExit: pytest could not run, or found no test.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", keyword]
        done = subprocess.run([*command, f"--junitxml={report}", *places], capture_output=True, text=True, check=False)
        if not report.is_file():
            raise SystemExit(f"pytest did not run: {(done.stderr or done.stdout).strip().rpartition(chr(10))[2]}")
        found = list(rows(report))
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest ended with status {done.returncode}; is there a test for a GPU?")
    yield from found
