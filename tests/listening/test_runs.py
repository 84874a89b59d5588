"""A training run in the browser: its curves follow the file, and the file is a stranger's."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as Xml

import pytest

from stemsplit.listening.runs import Curves, RunAnswers
from stemsplit.listening.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

HEADING = "step,loss,learning_rate,seconds,vocals,<b>drums,mean\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "<script>&.csv"
    path.write_text(HEADING + "100,8.0,0.1,20,1,2,1.5\n200,0.5,0.1,40,3,4,3.5\n")
    return path


@pytest.fixture
def server(path: Path) -> Iterator[Server]:
    serving = Server(RunAnswers(Curves(path)))
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield serving
    serving.shutdown()
    serving.stop()
    thread.join()


def asked(server: Server, where: str = "run.json") -> Any:
    with urllib.request.urlopen(server.address + where, timeout=60) as answer:
        return json.loads(answer.read())


def test_curves_are_told_once_and_again_when_there_is_a_new_report(server: Server, path: Path) -> None:
    data = asked(server)
    assert data["state"] == "Step 200, loss 0.5, mean SDR 3.5 dB (best 3.5 dB at step 200), after 0:40"
    assert [chart["name"] for chart in data["charts"]] == ["Loss", "SDR of validation", "Learning rate"]
    assert [row[:2] for row in data["rows"]] == [["200", "0.5"], ["100", "8"]]
    again = f"run.json?seen={data['version']}"
    assert "charts" not in asked(server, again)
    with path.open("a") as csv:
        csv.write("300,0.4,0.1,60,3,4,nan\n")
    newer = asked(server, again)
    assert newer["state"] == "Step 300, loss 0.4, after 1:00"
    assert len(newer["rows"]) == 3


@pytest.mark.parametrize("log", [0, 1])
def test_pictures_are_xml_with_a_point_for_each_report(server: Server, log: int) -> None:
    loss, scores, _ = (Xml.fromstring(chart["svg"]) for chart in asked(server, f"run.json?log={log}")["charts"])
    circles = [part for part in loss.iter() if part.tag.endswith("circle")]
    assert len(circles) == 2
    assert len([part for part in scores.iter() if part.tag.endswith("circle")]) == 3 * 2
    assert "<b>drums" in {part.text for part in scores.iter()}
    assert ("logarithmic" in Xml.tostring(loss, "unicode")) == bool(log)


def test_figures_of_any_size_make_a_short_page(server: Server, path: Path) -> None:
    with path.open("a") as csv:
        csv.write("300,1e308,-1e308,1e300,inf,-inf,1e308\n400,nan,,x,,,\n")
    data = asked(server)
    assert len(json.dumps(data)) < 20_000
    assert data["rows"][1][1] == "1e+308"
    assert all(Xml.fromstring(chart["svg"]) is not None for chart in data["charts"])


def test_only_the_page_is_served(server: Server) -> None:
    for where in ("app/page.js", "songs.json", "app/../../reports.py", "run.csv", "app/run.html"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            asked(server, where)
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(server.address + "run.json", b"{}", timeout=60)


def test_a_file_that_is_no_longer_one_of_a_run_is_told_of(server: Server, path: Path) -> None:
    path.unlink()
    assert asked(server)["state"].startswith("No report yet")
    path.write_text("song,stem\n")
    with pytest.raises(urllib.error.HTTPError) as refused:
        asked(server)
    assert "is not the CSV of a training run" in json.loads(refused.value.read())["error"]


def test_a_new_report_appears_without_reloading(server: Server, path: Path, page: "Page") -> None:
    page.goto(server.address)
    page.wait_for_selector("svg")
    assert page.inner_text("h1") == "<script>&"
    assert page.locator("figure").first.locator("circle").count() == 2
    assert page.get_by_role("img", name="SDR of validation").locator("text", has_text="<b>drums").count() == 1
    page.evaluate("window.same = true")
    with path.open("a") as csv:
        csv.write("300,0.25,0.1,60,5,6,5.5\n")
    page.wait_for_selector("figure:first-child circle:nth-of-type(3)")
    assert page.get_by_role("status").inner_text().startswith("Step 300, loss 0.25, mean SDR 5.5 dB")
    assert page.evaluate("window.same")
    page.get_by_label("Logarithmic axis for the loss").check()
    page.wait_for_selector("text=loss, logarithmic")
    page.set_viewport_size({"width": 320, "height": 600})
    assert page.evaluate("document.documentElement.scrollWidth") == 320
