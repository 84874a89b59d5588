"""Downloads give the right file or none, whatever servers, network and disk do."""

import dataclasses
import gzip
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stemsplit import registry
from stemsplit.disk.digest import sha256
from stemsplit.errors import WeightsError
from stemsplit.fetch import download, failures, hub_cache, store, verified
from stemsplit.fetch.pins import LockFileError, lock_file, pin, pinned
from stemsplit.registry import ModelEntry
from tests.fetch.conftest import CONTENT, read_only
from tests.fetch.hub import Fault, Hub, Served

STARTER = registry.find("starter")
MB = 1_000_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT_SHA1 = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
SIZE = len(CONTENT)
Make = Callable[..., ModelEntry]


def test_the_starter_ships_as_the_registry_says() -> None:
    path = download.fetch(STARTER)
    assert path.stat().st_size == STARTER.size <= 12 * MB
    assert sha256(path) == STARTER.sha256


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sha256": "0" * 64}, "not the published file: its sha256 differs; reinstall"),
        ({"size": 7}, f"not the published file: it has {STARTER.size} bytes, not 7; reinstall"),
        ({"sources": ("package:gone.safetensors",)}, "is missing; reinstall"),
        ({"sources": ("file:/nowhere/x.ckpt",)}, "/nowhere/x.ckpt is missing"),
        (
            {"sources": ("carrier-pigeon://x",)},
            "from carrier-pigeon://x: a source must start with one of package:, file:, hf://, https://, http://",
        ),
        ({"sources": ("hf://x.ckpt",)}, "does not have the form hf://OWNER/REPO@REVISION/FILE"),
        ({"sources": ("hf://a/b@main/../../../c",)}, "does not have the form hf://OWNER/REPO@REVISION/FILE"),
        ({"sources": ("hf://a/b@..%2F..%2Fc/d",)}, "does not have the form hf://OWNER/REPO@REVISION/FILE"),
        ({"sources": ("https://",)}, r"from https://: the address is invalid"),
        ({"sources": ("hf://a..b/c/d",)}, r"from hf://a..b/c/d: the address is invalid"),
        ({"sources": ()}, "names no source"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_a_wrong_file_is_never_used(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(WeightsError, match=complaint):
        download.fetch(dataclasses.replace(STARTER, **changes))


# Kind of source -> function that publishes a file there and returns it with its source.
KINDS: dict[str, Callable[[Hub, bytes], tuple[Served, str]]] = {
    "large file of the hub": lambda hub, content: (hub.put("some/repo/w.ckpt", content), "hf://some/repo/w.ckpt"),
    "small file of the hub": lambda hub, content: (
        hub.put("some/repo/in/w.ckpt", content, lfs=False),
        "hf://some/repo/in/w.ckpt",
    ),
    "web": lambda hub, content: (hub.put("/some/w.ckpt", content), f"{hub.url}/some/w.ckpt"),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def published(kind: str, hub: Hub) -> tuple[Served, str]:
    """A file, and the source that names it."""
    return KINDS[kind](hub, CONTENT)


def left_over(home: Path) -> list[Path]:
    """Every file with weights in it, finished or not."""
    files = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if path.stat().st_size > 500 and path.suffix != ".json"]


def sent(hub: Hub) -> int:
    return sum(request.sent for request in hub.requests)


def test_a_file_arrives_once_and_is_found_again(hub: Hub, published: tuple[Served, str], entry: Make) -> None:
    _, source = published
    seen: list[tuple[int, int]] = []
    path = download.fetch(entry(source, sha256=SHA256), lambda *step: seen.append(step))
    assert path.read_bytes() == CONTENT
    assert path.name == "w.ckpt"
    assert (seen[0], seen[-1]) == ((0, SIZE), (SIZE, SIZE))
    before = len(hub.requests)
    assert download.fetch(entry(source, sha256=SHA256)) == path
    assert len(hub.requests) == before


def test_a_file_from_the_hub_is_put_into_the_hubs_own_cache(hub: Hub, entry: Make) -> None:
    """Other programs that use the hub find it there."""
    from huggingface_hub import hf_hub_download, scan_cache_dir, try_to_load_from_cache

    hub.put("some/repo/in/w.ckpt", CONTENT)
    path = download.fetch(entry("hf://some/repo/in/w.ckpt", sha256=SHA256))
    assert try_to_load_from_cache("some/repo", "in/w.ckpt", cache_dir=hub_cache.folder()) == str(path)
    sent_before = sent(hub)
    assert hf_hub_download("some/repo", "in/w.ckpt", cache_dir=hub_cache.folder()) == str(path)
    assert sent(hub) == sent_before
    (repo,) = scan_cache_dir(hub_cache.folder()).repos
    assert (repo.repo_id, repo.size_on_disk, list(repo.refs)) == ("some/repo", SIZE, ["main"])
    assert not scan_cache_dir(hub_cache.folder()).warnings


def test_a_file_that_another_program_downloaded_is_not_downloaded_again(hub: Hub, entry: Make) -> None:
    from huggingface_hub import hf_hub_download

    hub.put("some/repo/w.ckpt", CONTENT)
    path = hf_hub_download("some/repo", "w.ckpt", cache_dir=hub_cache.folder())
    before = len(hub.requests)
    assert download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256)) == Path(path)
    assert download.fetch(dataclasses.replace(entry("hf://some/repo/w.ckpt"), name="unpublished")) == Path(path)
    assert len(hub.requests) == before


def test_without_symlinks_the_hubs_cache_holds_the_file_itself(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants, try_to_load_from_cache

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    hub.put("some/repo/w.ckpt", CONTENT)
    path = download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256))
    assert not path.is_symlink()
    assert path.read_bytes() == CONTENT
    assert try_to_load_from_cache("some/repo", "w.ckpt", cache_dir=hub_cache.folder()) == str(path)


# Trouble that passes, and whether every byte is still sent only once.
PASSING = {
    "cut off": (Fault(drop_after=100_000), True),
    "cut off again and again": (Fault(drop_after=70_000, drops=-1), True),
    "cut off at once, thrice": (Fault(drop_after=0, drops=3), True),
    "busy": (Fault(busy=2), True),
    "cut off, and sends all of it each time": (Fault(drop_after=100_000, ignores_range=True), False),
    "does not tell the size": (Fault(no_size=True), True),
    "cut off, and does not tell the size": (Fault(no_size=True, drop_after=100_000), True),
}


@pytest.mark.parametrize("trouble", PASSING)
def test_a_download_survives_trouble_that_passes(
    hub: Hub, published: tuple[Served, str], entry: Make, trouble: str, home: Path
) -> None:
    fault, economical = PASSING[trouble]
    file, source = published
    file.fault = dataclasses.replace(fault)
    path = download.fetch(entry(source, sha256=SHA256, size=SIZE))
    assert path.read_bytes() == CONTENT
    assert len(left_over(home)) == 1
    assert (sent(hub) == SIZE) == economical


def test_a_server_that_stalls_is_asked_again(
    hub: Hub, published: tuple[Served, str], entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    file, source = published
    file.fault = Fault(hold_after=100_000)
    assert download.fetch(entry(source, sha256=SHA256)).read_bytes() == CONTENT
    assert "range" in hub.requests[-1].headers


def test_a_busy_server_is_asked_again_after_the_pause_that_it_requests_within_reason(
    published: tuple[Served, str], entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(failures, "sleep", slept.append)
    file, source = published
    for asked in ("7", "86400", "tomorrow"):
        file.fault = Fault(busy=1, retry_after=asked)
        verified.forget(SHA256)
        store.remove(entry(source, sha256=SHA256))
        download.fetch(entry(source, sha256=SHA256))
    assert slept == [7, 60, 0]


def test_a_web_server_need_not_answer_head(hub: Hub, entry: Make) -> None:
    hub.put("/w.ckpt", CONTENT, fault=Fault(no_head=True, drop_after=100_000))
    assert download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256)).read_bytes() == CONTENT
    assert sent(hub) == SIZE


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (Fault(busy=1_000), "127.0.0.1 answers 503; try again later"),
        (Fault(drop_after=0, drops=-1), "was lost.*; try again, the download will resume"),
    ],
)
def test_trouble_that_does_not_pass_is_an_error_and_the_next_try_works(
    published: tuple[Served, str], entry: Make, fault: Fault, complaint: str
) -> None:
    file, source = published
    file.fault = dataclasses.replace(fault)
    with pytest.raises(WeightsError, match=complaint) as caught:
        download.fetch(entry(source, sha256=SHA256))
    assert "\n" not in str(caught.value)
    file.fault = Fault()
    assert download.fetch(entry(source, sha256=SHA256)).read_bytes() == CONTENT


def half_downloaded(file: Served, entry: ModelEntry, home: Path) -> Path:
    """Let the server break down in the middle of a file; return the part that arrived."""

    def break_down(done: int, _: int) -> None:
        if done == 150_000:
            file.fault.busy = 1_000

    file.fault = Fault(drop_after=150_000)
    with pytest.raises(WeightsError, match="answers 503"):
        download.fetch(entry, break_down)
    file.fault = Fault()
    (part,) = left_over(home)
    assert part.stat().st_size == 150_000
    return part


def test_a_later_run_resumes_where_one_stopped(
    hub: Hub, published: tuple[Served, str], entry: Make, home: Path
) -> None:
    wanted = entry(published[1], sha256=SHA256)
    half_downloaded(published[0], wanted, home)
    hub.requests.clear()
    steps: list[tuple[int, int]] = []
    assert download.fetch(wanted, lambda *step: steps.append(step)).read_bytes() == CONTENT
    assert sent(hub) == SIZE - 150_000
    assert steps[0] == (150_000, SIZE)


@pytest.mark.parametrize("damage", ["wrong bytes", "too long", "wrong, and whole"])
def test_a_damaged_part_is_replaced(published: tuple[Served, str], entry: Make, home: Path, damage: str) -> None:
    wanted = entry(published[1], sha256=SHA256)
    part = half_downloaded(published[0], wanted, home)
    part.write_bytes(bytes({"wrong bytes": 1_000, "too long": SIZE + 1, "wrong, and whole": SIZE}[damage]))
    assert download.fetch(wanted).read_bytes() == CONTENT
    assert len(left_over(home)) == 1


def test_a_complete_part_is_only_renamed(hub: Hub, entry: Make, home: Path) -> None:
    """An earlier run was killed between the last byte and the renaming, and the file's size is not known."""
    file = hub.put("/some/w.ckpt", CONTENT)
    wanted = entry(f"{hub.url}/some/w.ckpt", sha256=SHA256)
    part = half_downloaded(file, wanted, home)
    part.write_bytes(CONTENT)
    file.fault = Fault(no_size=True)
    hub.requests.clear()
    assert download.fetch(wanted).read_bytes() == CONTENT
    assert sent(hub) == 0


@pytest.mark.parametrize("wrong", [b"\0" * SIZE, CONTENT[:-1], CONTENT + b"\0", b"", b"<html>log in</html>"])
def test_a_file_that_is_not_the_published_one_is_removed(
    published: tuple[Served, str], entry: Make, home: Path, wrong: bytes
) -> None:
    file, source = published
    file.content = wrong
    file.etag = SHA256 if file.lfs else GIT_SHA1
    for known in ({"sha256": SHA256}, {"sha256": SHA256, "size": SIZE}, {"git_sha1": GIT_SHA1}):
        with pytest.raises(WeightsError, match=r"cannot download 'tiny' .*from .*: it is not the published file"):
            download.fetch(entry(source, **known))
        assert left_over(home) == []
        assert not list(hub_cache.folder().glob("*/snapshots/*/*"))


def test_a_wrong_file_that_arrives_in_pieces_is_refused_too(published: tuple[Served, str], entry: Make) -> None:
    file, source = published
    file.content, file.fault = b"\0" * SIZE, Fault(drop_after=100_000, drops=-1)
    with pytest.raises(WeightsError, match="not the published file"):
        download.fetch(entry(source, sha256=SHA256))


def test_the_next_source_is_tried_and_all_failures_are_reported(hub: Hub, entry: Make) -> None:
    hub.put("some/repo/w.ckpt", b"\0" * SIZE)
    hub.put("/good.ckpt", CONTENT)
    sources = ["hf://some/repo/w.ckpt", f"{hub.url}/gone.ckpt", f"{hub.url}/good.ckpt"]
    assert download.fetch(entry(*sources, sha256=SHA256)).read_bytes() == CONTENT
    with pytest.raises(WeightsError) as caught:
        download.fetch(dataclasses.replace(entry(*sources[:2]), sha256="1" * 64))
    message = str(caught.value)
    assert message.startswith("cannot download 'tiny': hf://some/repo/w.ckpt (it is not the published file")
    assert message.endswith(f" and {hub.url}/gone.ckpt (127.0.0.1 does not have the file (404))")


REFUSALS = {
    "gated": (
        "some/repo",
        (401, "GatedRepo"),
        "accept its conditions at https://huggingface.co/some/repo, then log in",
    ),
    "asked for in vain": ("some/repo", (403, "GatedRepo"), "`hf auth login`, or set HF_TOKEN"),
    "forbidden": ("some/repo", (403, ""), "some/repo refuses access (403); see https://huggingface.co/some/repo"),
    "bad token": ("some/repo", (401, ""), "some/repo refuses access (401)"),
    "no repository": ("other/repo", None, "other/repo does not exist or is private (401); if it is private, log in"),
    "no revision": ("some/repo@v9", None, "some/repo has no revision v9"),
    "no file": ("some/repo", (404, "EntryNotFound"), "some/repo has no file w.ckpt at main"),
    "teapot": ("some/repo", (418, ""), "127.0.0.1 answers 418"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_of_the_hub_says_what_to_do(hub: Hub, entry: Make, refusal: str) -> None:
    repo, answer, advice = REFUSALS[refusal]
    hub.put("some/repo/w.ckpt", CONTENT, fault=Fault(refusal=answer))
    with pytest.raises(WeightsError) as caught:
        download.fetch(entry(f"hf://{repo}/w.ckpt", sha256=SHA256))
    assert advice in str(caught.value)
    assert len(hub.requests) == 1, "asking again would not help"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "asks for a password"),
        (403, "refuses access to the file"),
        (404, "does not have the file"),
        (418, "answers"),
    ],
)
def test_a_refusal_on_the_web_is_explained(hub: Hub, entry: Make, status: int, words: str) -> None:
    hub.put("/w.ckpt", CONTENT, fault=Fault(refusal=(status, "")))
    with pytest.raises(WeightsError, match=rf"127.0.0.1 {words} \({status}\)"):
        download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256))


PAGE = b"<!DOCTYPE html><title>Virus scan warning</title>" + 3_000 * b"."
BY_HAND = (
    r"; open the address in a browser \(see https://example.org/m\), save the file, then: stemsplit SONG --model FILE"
)


@pytest.mark.parametrize("known", [{}, {"sha256": SHA256}, {"sha256": SHA256, "size": SIZE}])
@pytest.mark.parametrize("no_head", [False, True])
def test_a_web_page_is_not_taken_for_the_file(
    hub: Hub, entry: Make, home: Path, known: dict[str, Any], no_head: bool
) -> None:
    """Hosts show such pages to ask for a click or a login, or to tell of a quota."""
    file = hub.put("/get", PAGE, fault=Fault(kind="text/html; charset=utf-8", no_head=no_head))
    wanted = entry(f"{hub.url}/get?id=1", page="https://example.org/m", **known)
    complaint = "127.0.0.1 sends a web page instead of the file"
    with pytest.raises(WeightsError, match=complaint + BY_HAND):
        download.fetch(wanted)
    assert left_over(home) == []
    assert not lock_file().exists()
    assert len(hub.asked("GET")) == 1, "asking again would not help"
    file.content, file.fault = CONTENT, Fault(kind="application/octet-stream")
    assert download.fetch(wanted).read_bytes() == CONTENT


def test_a_web_page_does_not_replace_the_part(hub: Hub, entry: Make, home: Path) -> None:
    file = hub.put("/w.ckpt", CONTENT)
    wanted = entry(f"{hub.url}/w.ckpt", sha256=SHA256)
    part = half_downloaded(file, wanted, home)
    file.fault = Fault(kind="text/html", ignores_range=True)
    with pytest.raises(WeightsError, match="sends a web page"):
        download.fetch(wanted)
    assert part.read_bytes() == CONTENT[:150_000]


@pytest.mark.parametrize("status", [401, 403])
def test_a_file_that_a_host_refuses_to_programs_can_be_downloaded_in_a_browser(
    hub: Hub, entry: Make, status: int
) -> None:
    hub.put("/w.ckpt", CONTENT, fault=Fault(refusal=(status, "")))
    with pytest.raises(WeightsError, match=rf"\({status}\){BY_HAND}"):
        download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256, page="https://example.org/m"))


def test_a_server_that_is_not_a_hub_is_recognised(hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    template = hub.url + "/files/{repo_id}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    hub.put("/files/some/repo/w.ckpt", CONTENT)
    with pytest.raises(WeightsError, match="does not answer like the Hugging Face Hub; check HF_ENDPOINT"):
        download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256))


def test_an_unreachable_network_is_an_error_of_one_line(
    hub: Hub, published: tuple[Served, str], entry: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.stop()
    with pytest.raises(WeightsError, match=r"127.0.0.1 cannot be reached \(.*\); check the connection") as caught:
        download.fetch(entry(published[1], sha256=SHA256))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == "", "the hub's library keeps its warnings to itself"


def test_an_unreachable_host_is_named_once_with_one_remedy(hub: Hub, entry: Make) -> None:
    hub.stop()
    sources = ["hf://some/repo/w.ckpt", f"{hub.url}/w.ckpt", f"{hub.url}/w.ckpt?mirror"]
    remedy = "check the connection, or see the downloaded models: stemsplit list --downloaded"
    with pytest.raises(
        WeightsError,
        match=rf"^cannot download 'tiny' \(0\.3 MB\): 127\.0\.0\.1 cannot be reached \([^()]*\); {remedy}$",
    ):
        download.fetch(entry(*sources, sha256=SHA256, size=SIZE))


def test_a_reason_that_sources_share_is_given_once(hub: Hub, entry: Make) -> None:
    sources = [f"{hub.url}/a.ckpt", f"{hub.url}/b.ckpt"]
    with pytest.raises(WeightsError) as caught:
        download.fetch(entry(*sources, sha256=SHA256))
    reason = "127.0.0.1 does not have the file (404)"
    assert str(caught.value) == f"cannot download 'tiny' from {sources[0]} and {sources[1]}: {reason}"


def test_offline_no_server_is_asked(
    hub: Hub, published: tuple[Served, str], entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        download.fetch(entry(published[1], sha256=SHA256))
    assert hub.requests == []


def test_the_token_is_sent_to_the_hub_only(hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.put("some/repo/w.ckpt", CONTENT, fault=Fault(drop_after=100_000))
    hub.put("/w.ckpt", CONTENT)
    download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256))
    for_hub = {request.server for request in hub.requests if "authorization" in request.headers}
    assert for_hub == {"hub"}
    assert {request.server for request in hub.requests} == {"hub", "cdn"}
    hub.requests.clear()
    verified.forget(SHA256)
    download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256))
    assert hub.requests
    assert not any("hf_secret" in str(request.headers) for request in hub.requests)


def test_free_space_is_checked_first(
    hub: Hub, published: tuple[Served, str], entry: Make, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=SIZE - 1))
    with pytest.raises(WeightsError, match=r"it needs 0\.3 MB more in .*, where 0\.3 MB are free"):
        download.fetch(entry(published[1], sha256=SHA256))
    assert sent(hub) == 0
    assert left_over(home) == []
    monkeypatch.undo()


def test_free_space_is_needed_only_for_the_rest_of_a_part(
    published: tuple[Served, str], entry: Make, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    wanted = entry(published[1], sha256=SHA256)
    half_downloaded(published[0], wanted, home)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=SIZE - 150_000))
    assert download.fetch(wanted).read_bytes() == CONTENT


def test_a_part_survives_a_full_disk(hub: Hub, published: tuple[Served, str], entry: Make, home: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits on files are Unix's")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(WeightsError, match=r"cannot hold the file \(file too large\); make room"):
            download.fetch(entry(published[1], sha256=SHA256))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (part,) = left_over(home)
    assert 0 < part.stat().st_size <= 100_000
    hub.requests.clear()
    assert download.fetch(entry(published[1], sha256=SHA256)).read_bytes() == CONTENT
    assert sent(hub) < SIZE


def test_a_cache_that_cannot_be_written_is_an_error(kind: str, hub: Hub, entry: Make, here: Path) -> None:
    _, source = KINDS[kind](hub, CONTENT)
    variable = "STEMSPLIT_CACHE" if kind == "web" else "HF_HOME"
    with (
        read_only(here),
        pytest.raises(WeightsError, match=rf"\(permission denied\); set {variable} to a folder that can be written"),
    ):
        download.fetch(entry(source, sha256=SHA256))


def test_files_in_a_read_only_cache_are_used(published: tuple[Served, str], entry: Make, here: Path) -> None:
    wanted = entry(published[1], sha256=SHA256)
    download.fetch(wanted)
    verified.forget(SHA256)
    with read_only(here):
        assert download.fetch(wanted).read_bytes() == CONTENT


def test_a_file_that_was_damaged_later_is_downloaded_again(published: tuple[Served, str], entry: Make) -> None:
    wanted = entry(published[1], sha256=SHA256)
    path = download.fetch(wanted)
    path.write_bytes(b"\0" * SIZE)
    assert store.local(wanted) is None
    assert download.fetch(wanted).read_bytes() == CONTENT


@pytest.mark.parametrize("digest", [{"git_sha1": GIT_SHA1}, {"sha256": SHA256, "git_sha1": GIT_SHA1}])
def test_a_git_digest_is_enough(hub: Hub, published: tuple[Served, str], entry: Make, digest: dict[str, str]) -> None:
    wanted = entry(published[1], **digest)
    path = download.fetch(wanted)
    before = len(hub.requests)
    assert download.fetch(wanted) == store.local(wanted) == path
    assert len(hub.requests) == before
    assert not lock_file().exists()


def test_without_a_published_digest_that_of_the_first_file_is_pinned(
    hub: Hub, published: tuple[Served, str], entry: Make
) -> None:
    file, source = published
    wanted = entry(source)
    assert store.local(wanted) is None
    path = download.fetch(wanted)
    assert json.loads(lock_file().read_text()) == {"tiny": {"sha256": SHA256, "size": SIZE}}
    before = len(hub.requests)
    assert download.fetch(wanted) == path
    assert len(hub.requests) == before
    assert store.remove(wanted) == SIZE
    assert json.loads(lock_file().read_text()) == {}
    path = download.fetch(wanted)
    path.resolve().unlink()
    file.content = CONTENT[::-1]
    with pytest.raises(WeightsError, match=r"models\.lock\.json; if you trust the new file, delete 'tiny' there"):
        download.fetch(wanted)
    lock_file().write_text("{}")
    assert download.fetch(wanted).read_bytes() == file.content


def test_without_a_published_digest_the_hubs_is_checked(hub: Hub, entry: Make, home: Path) -> None:
    for lfs, etag in ((True, SHA256), (False, GIT_SHA1)):
        hub.put("some/repo/w.ckpt", CONTENT[::-1], lfs=lfs, etag=etag)
        with pytest.raises(WeightsError, match="not the published file"):
            download.fetch(entry("hf://some/repo/w.ckpt"))
    assert left_over(home) == []
    assert not lock_file().exists()


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (b"<html>log in</html>", "it is not a checkpoint but looks like a web page"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>", "it is not a checkpoint but looks like a web page"),
        (b'{"error": "no"}', "it is neither a safetensors nor a torch.save file"),
    ],
)
def test_without_a_published_digest_only_a_checkpoint_is_accepted(
    published: tuple[Served, str], entry: Make, home: Path, wrong: bytes, complaint: str
) -> None:
    """A page from somebody between, such as a hotel's network, is not pinned."""
    file, source = published
    file.content = wrong
    with pytest.raises(WeightsError, match=complaint):
        download.fetch(entry(source))
    assert not lock_file().exists()
    assert not [path for path in home.rglob("*") if path.is_file() and path.read_bytes() == wrong]
    file.content = CONTENT
    assert download.fetch(entry(source)).read_bytes() == CONTENT


def test_without_a_published_digest_a_file_of_another_program_is_checked(hub: Hub, entry: Make) -> None:
    from huggingface_hub import hf_hub_download

    file = hub.put("some/repo/w.ckpt", b"<html>log in</html>")
    hf_hub_download("some/repo", "w.ckpt", cache_dir=hub_cache.folder())
    file.content = CONTENT
    assert download.fetch(entry("hf://some/repo/w.ckpt")).read_bytes() == CONTENT


@pytest.mark.parametrize("known", [{"sha256": SHA256}, {"git_sha1": GIT_SHA1}])
def test_a_file_that_is_too_long_is_not_downloaded_to_its_end(
    hub: Hub, published: tuple[Served, str], entry: Make, home: Path, known: dict[str, str]
) -> None:
    """The server does not give its size, but the registry does."""
    file, source = published
    file.content, file.fault = CONTENT * 3, Fault(no_size=True)
    file.etag = SHA256 if file.lfs else GIT_SHA1
    seen: list[int] = []
    with pytest.raises(WeightsError, match=f"not the published file: it has more than {SIZE} bytes"):
        download.fetch(entry(source, size=SIZE, **known), lambda done, _: seen.append(done))
    assert max(seen) <= SIZE
    assert len({request.server for request in hub.asked("GET")}) == len(hub.asked("GET")), "asked once, and sent on"
    assert left_over(home) == []


def test_a_file_that_is_sent_compressed_is_refused(published: tuple[Served, str], entry: Make, home: Path) -> None:
    """A few bytes could expand to any size."""
    file, source = published
    file.content, file.fault = gzip.compress(CONTENT), Fault(encoding="gzip", no_size=True)
    file.etag = SHA256 if file.lfs else GIT_SHA1
    with pytest.raises(WeightsError, match=r"127.0.0.1 sends the file compressed \(gzip\), against the request"):
        download.fetch(entry(source, sha256=SHA256, size=SIZE))
    assert left_over(home) == []


@pytest.mark.parametrize("lfs", [True, False])
def test_a_file_for_which_the_hub_gives_another_digest_is_not_downloaded(hub: Hub, entry: Make, lfs: bool) -> None:
    hub.put("some/repo/w.ckpt", CONTENT[::-1], lfs=lfs)
    with pytest.raises(WeightsError, match="not the published file: the hub gives another digest for it"):
        download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256, git_sha1=GIT_SHA1))
    assert hub.asked("GET") == []


@pytest.mark.usefixtures("hub")
def test_without_a_home_folder_the_error_says_what_to_set(
    published: tuple[Served, str], entry: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if sys.platform != "linux":
        pytest.skip("elsewhere, there is always one")
    import pwd

    def nobody(_: int) -> None:
        raise KeyError

    wanted = entry(published[1], sha256=SHA256)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for variable in ("HOME", "XDG_CACHE_HOME", "STEMSPLIT_CACHE", "HF_HOME"):
        monkeypatch.delenv(variable, raising=False)
    before = set(tmp_path.iterdir())
    assert store.local(wanted) is None
    with pytest.raises(WeightsError, match="there is no home folder to keep downloads in; set STEMSPLIT_CACHE and HF"):
        download.fetch(wanted)
    assert set(tmp_path.iterdir()) == before
    assert store.local(STARTER) == download.fetch(STARTER)


def test_a_file_whose_end_cannot_be_recognised_is_not_accepted(hub: Hub, entry: Make, home: Path) -> None:
    """A lost connection would look like the end of the file, and there is no digest."""
    file = hub.put("/w.ckpt", CONTENT, fault=Fault(no_size=True, drop_after=100_000))
    with pytest.raises(WeightsError, match="neither its size nor its digest is known"):
        download.fetch(entry(f"{hub.url}/w.ckpt"))
    assert left_over(home) == []
    file.fault = Fault(no_size=True)
    assert download.fetch(entry(f"{hub.url}/w.ckpt", size=SIZE)).read_bytes() == CONTENT


def test_two_versions_are_never_mixed(hub: Hub, entry: Make) -> None:
    """A file from the web without a digest changes while it is downloaded."""
    file = hub.put("/w.ckpt", CONTENT, fault=Fault(drop_after=100_000))

    def change(done: int, _: int) -> None:
        if done == 100_000:
            file.content = CONTENT[::-1]

    assert download.fetch(entry(f"{hub.url}/w.ckpt"), change).read_bytes() == CONTENT[::-1]


def test_a_lock_file_that_cannot_be_written_is_an_error(hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("this system has no /proc, where no folder can be made")
    monkeypatch.setenv("STEMSPLIT_CONFIG", "/proc/stemsplit")
    hub.put("some/repo/w.ckpt", CONTENT)
    with pytest.raises(WeightsError, match="set STEMSPLIT_CONFIG to a folder that can be written"):
        download.fetch(entry("hf://some/repo/w.ckpt", f"{hub.url}/never-asked.ckpt"))
    assert not hub.asked("HEAD", "/never-asked")


@pytest.mark.parametrize(
    "garbage",
    [
        "{",
        "[]",
        "\xff\0",
        '{"a": {"sha256": "x", "size": Infinity}}',
        '{"a": {"sha256": "../../x", "size": 1}}',
        '{"a": ' * 100_000,
    ],
    ids=lambda text: text[:40],
)
def test_a_lock_file_that_cannot_be_read_is_an_error(hub: Hub, entry: Make, garbage: str) -> None:
    """It does no harm if it is not needed."""
    lock_file().parent.mkdir()
    lock_file().write_text(garbage, encoding="latin-1")
    unpublished, published = entry("hf://some/repo/w.ckpt"), entry("hf://some/repo/w.ckpt", sha256=SHA256)
    with pytest.raises(WeightsError, match=r"cannot read .*models\.lock\.json .*; repair it, or delete it") as caught:
        download.fetch(unpublished)
    assert "\n" not in str(caught.value)
    assert hub.requests == []
    assert store.local(unpublished) is None
    assert store.local(published) is None
    hub.put("some/repo/w.ckpt", CONTENT)
    assert download.fetch(published) == store.local(published)


def test_a_pin_of_another_process_is_not_overwritten() -> None:
    pin("tiny", SHA256, SIZE)
    pin("tiny", SHA256, SIZE)
    with pytest.raises(LockFileError, match="another process has just pinned a different file for 'tiny'"):
        pin("tiny", "0" * 64, SIZE)
    assert pinned("tiny") == SHA256


def test_a_file_in_the_hubs_newer_storage_comes_the_plain_way(hub: Hub, entry: Make) -> None:
    hub.put("some/repo/w.ckpt", CONTENT, xet="f" * 64)
    assert download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256)).read_bytes() == CONTENT
    assert sent(hub) == SIZE
