"""Passwords and tokens from addresses and the environment are never in a message or a file."""

import dataclasses
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemsplit.disk.folders import cache_folder
from stemsplit.errors import WeightsError
from stemsplit.fetch import download, store
from stemsplit.fetch.pins import lock_file
from stemsplit.registry import ModelEntry, redacted
from tests.fetch.conftest import CONTENT
from tests.fetch.hub import Fault, Hub
from tests.fetch.test_download import SHA256, SIZE

Make = Callable[..., ModelEntry]
SECRET = "s3cr3t"


def check(text: str) -> None:
    assert SECRET not in text, text


@pytest.fixture(autouse=True)
def no_secret_is_shown(capfd: pytest.CaptureFixture[str], home: Path, tmp_path: Path) -> Iterator[None]:
    """Check after every test that the secret is neither on the terminal nor in a file."""
    yield
    for text in capfd.readouterr():
        check(text)
    for path in [*home.rglob("*"), *tmp_path.rglob("*")]:
        check(str(path))
        if path.is_file() and path.name != "token":
            assert SECRET.encode() not in path.read_bytes()


def failure(entry: ModelEntry) -> str:
    """Return the message of a failed download; check it, and the messages of its causes, for secrets."""
    with pytest.raises(WeightsError) as caught:
        download.fetch(entry)
    check("".join(line for line in traceback.format_exception(caught.value) if "Error: " in line))
    check(str(caught.value))
    return str(caught.value)


def with_secrets(url: str) -> str:
    return url.replace("http://", f"http://user:{SECRET}@") + f"?token={SECRET}#{SECRET}"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("https://user:s3cr3t@host.org/a/w.ckpt", "https://***@host.org/a/w.ckpt"),
        ("https://s3cr3t@host.org:8080/w.ckpt", "https://***@host.org:8080/w.ckpt"),
        ("https://host.org/w.ckpt?download=1", "https://host.org/w.ckpt?***"),
        ("https://host.org/w.ckpt#s3cr3t", "https://host.org/w.ckpt?***"),
        ("https://user:s3cr3t@[::1]:80/w.ckpt", "https://***@[::1]:80/w.ckpt"),
        ("https://user@mail.org:s3cr3t@host.org/w.ckpt", "https://***@host.org/w.ckpt"),
        ("https://user:s3c/r3t@host.org/w.ckpt", "https://***"),
        ("https://user:1/s3cr3t@host.org/w.ckpt", "https://***"),
        ("https://user:1?s3cr3t@host.org/w.ckpt", "https://***"),
        ("https://user:s3cr3t%40host.org/w.ckpt", "https://***"),
        ("https://host.org/@somebody/w@1.ckpt", "https://host.org/@somebody/w@1.ckpt"),
        ("ftp://user:s3cr3t@host.org/w.ckpt", "ftp://***@host.org/w.ckpt"),
        ("user:s3cr3t@host.org/w.ckpt", "***"),
        ("https:/user:s3cr3t@host.org/w.ckpt", "***"),
        ("user:s3cr3t@https://host.org/w.ckpt", "***"),
        ("w.ckpt?token=s3cr3t", "w.ckpt?***"),
        ("hf://owner/repo@main/in/w.ckpt", "hf://owner/repo@main/in/w.ckpt"),
        ("hf://user:s3cr3t@owner/repo/w.ckpt", "hf://***@owner/repo/w.ckpt"),
        ("file:/a@b/w?.ckpt", "file:/a@b/w?.ckpt"),
        ("package:w.ckpt", "package:w.ckpt"),
        ("https://", "https://"),
        ("", ""),
    ],
)
def test_a_source_is_shown_without_possible_secrets(source: str, shown: str) -> None:
    assert redacted(source) == shown


TEXT = st.text(st.characters(exclude_characters="@/?#", exclude_categories=["Cs", "Cc"]))


@given(st.sampled_from(["http", "https", "ftp", "hf"]), TEXT, TEXT, TEXT, TEXT)
def test_no_password_is_shown(scheme: str, before: str, after: str, host: str, path: str) -> None:
    """An address may have one in several places."""
    secret = f"{before}{SECRET}{after}"
    for source in (
        f"{scheme}://{secret}@{host}/{path}",
        f"{scheme}://user:{secret}@{host}:80/{path}",
        f"{scheme}://{host}/{path}?{secret}",
        f"{scheme}://{host}/{path}#{secret}",
        f"{scheme}://{secret}@{host}",
        f"{scheme}:{secret}@{host}/{path}",
        f"{secret}@{host}/{path}",
    ):
        check(redacted(source).replace(host, "").replace(path, ""))


FAULTS = {
    "not found": Fault(refusal=(404, "")),
    "wants a password": Fault(refusal=(401, "")),
    "busy": Fault(busy=1_000),
    "breaks off": Fault(drop_after=10, drops=-1),
    "packed": Fault(encoding="gzip"),
    "a page": Fault(kind="text/html"),
    "of another size": Fault(to_head={"Content-Length": "7"}),
    "in a circle": Fault(location="/w.ckpt"),
    "sent to an unknown place": Fault(location=f"ftp://user:{SECRET}@127.0.0.1/?{SECRET}"),
    "sent to no place": Fault(location=f"http://user:{SECRET}@127.0.0.1:x/?{SECRET}"),
    "sent to nobody": Fault(location=f"http://user:{SECRET}@127.0.0.1:1/?{SECRET}"),
    "no header": Fault(headers={f"{SECRET} ": "x"}, to_head={f"{SECRET} ": "x"}),
}


@pytest.mark.parametrize(
    ("fault", "no_head"),
    [(fault, no_head) for fault in FAULTS for no_head in (False, True) if fault != "of another size" or not no_head],
)
def test_a_web_address_is_shown_without_its_secrets(hub: Hub, entry: Make, fault: str, no_head: bool) -> None:
    hub.put("/w.ckpt", CONTENT, fault=dataclasses.replace(FAULTS[fault], no_head=no_head))
    message = failure(entry(with_secrets(f"{hub.url}/w.ckpt"), sha256=SHA256, size=SIZE))
    assert "http://***@127.0.0.1" in message or "127.0.0.1 cannot be reached" in message


def test_an_unreachable_address_is_shown_without_its_secrets(hub: Hub, entry: Make) -> None:
    hub.stop()
    failure(entry(with_secrets(f"{hub.url}/w.ckpt"), "hf://some/repo/w.ckpt"))


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    "source",
    [
        f"http://user:{SECRET}@127.0.0.1:port/w",
        f"http://user:{SECRET}@[/w",
        f"http://user:{SECRET}/x@127.0.0.1/w",
        f"http://user:{SECRET}@127.0.0.1:99999999/w",
        f"http://user:{SECRET}@{'a' * 70}.org/w?{SECRET}",
        f"http://user:{SECRET}@\u2603\ud800/w",
        f"ftp://user:{SECRET}@127.0.0.1/w",
        f"hf://user:{SECRET}@a/b/c",
        f"hf://a/b/c?token={SECRET}",
        f"hf:user:{SECRET}@a/b/c",
    ],
)
def test_an_invalid_address_is_shown_without_its_secrets(entry: Make, source: str) -> None:
    failure(entry(source, sha256=SHA256))


def test_a_file_is_downloaded_and_removed_with_secrets_in_its_address(hub: Hub, entry: Make) -> None:
    """They are sent to the server, but no file is named after them."""
    hub.put("/w.ckpt", CONTENT, fault=Fault(drop_after=1_000))
    wanted = entry(with_secrets(f"{hub.url}/w.ckpt"))
    assert SECRET not in str(download.fetch(wanted))
    assert all(request.headers["authorization"].startswith("Basic ") for request in hub.requests)
    check((cache_folder() / "verified" / f"{SHA256}.json").read_text())
    check(lock_file().read_text())
    assert store.remove(wanted) == SIZE
    with pytest.raises(WeightsError) as caught:
        store.remove(entry(f"hf://user:{SECRET}@a/b"))
    check(str(caught.value))


@pytest.mark.parametrize("token", [f"hf_{SECRET}\x01", f"hf_{SECRET}\xe9", f"\u2603{SECRET}", f"{SECRET}\x7f"])
def test_a_token_that_cannot_be_sent_is_not_shown(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """The HTTP library's own message contains the whole header."""
    hub.put("some/repo/w.ckpt", CONTENT)
    monkeypatch.setenv("HF_TOKEN", token)
    message = failure(entry("hf://some/repo/w.ckpt", sha256=SHA256))
    assert (
        "the token for the Hugging Face Hub (HF_TOKEN, or from `hf auth login`) contains an invalid character"
        in message
    )
    assert hub.requests == []


def test_a_token_is_sent_without_its_line_break(hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.put("some/repo/w.ckpt", CONTENT)
    monkeypatch.setenv("HF_TOKEN", f"hf_{SECRET}\n")
    assert download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256)).read_bytes() == CONTENT
    assert hub.requests[0].headers["authorization"] == f"Bearer hf_{SECRET}"


@pytest.mark.parametrize("content", [b"\xff" + SECRET.encode(), None])
def test_a_token_s_file_that_cannot_be_read_is_an_error(
    hub: Hub, entry: Make, home: Path, content: bytes | None
) -> None:
    hub.put("some/repo/w.ckpt", CONTENT)
    (home / "token").mkdir() if content is None else (home / "token").write_bytes(content)
    assert "`hf auth login`) cannot be read" in failure(entry("hf://some/repo/w.ckpt", sha256=SHA256))


@pytest.mark.parametrize(
    "proxy",
    [
        f"gopher://user:{SECRET}@127.0.0.1:1",
        f"http://user:{SECRET}@[",
        f"http://user:{SECRET}@127.0.0.1:port",
        f"socks5://user:{SECRET}@127.0.0.1:1",
        f"user:{SECRET}@127.0.0.1:1",
        f"http://user:{SECRET}@127.0.0.1:1",
    ],
)
def test_a_proxy_is_shown_without_its_password(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    from huggingface_hub.utils import close_session

    hub.put("/w.ckpt", CONTENT)
    monkeypatch.delenv("NO_PROXY")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy)
    for source in (f"{hub.url}/w.ckpt", "hf://some/repo/w.ckpt"):
        close_session()
        assert re.search("HTTP_PROXY|socksio|cannot be reached", failure(entry(source, sha256=SHA256)))


@pytest.mark.parametrize("missing", ["/nowhere/ca.pem", __file__])
def test_certificates_that_cannot_be_read_are_an_error(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    from huggingface_hub.utils import close_session

    close_session()
    monkeypatch.setenv("SSL_CERT_FILE", missing)
    assert f"SSL_CERT_FILE is {missing}, which " in failure(entry(f"{hub.url}/w.ckpt", sha256=SHA256))


@pytest.mark.parametrize("fault", [name for name in FAULTS if "circle" not in name and "sent" not in name])
def test_an_address_of_the_hub_is_shown_without_its_secrets(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """HF_ENDPOINT may contain a password, and the hub's redirects are signed."""
    from huggingface_hub import constants

    endpoint = hub.url.replace("http://", f"http://user:{SECRET}@")
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    hub.cdn = hub.cdn.replace("http://", f"http://user:{SECRET}@")
    for lfs in (True, False):
        hub.put("some/repo/w.ckpt", CONTENT, lfs=lfs, fault=dataclasses.replace(FAULTS[fault]))
        size = 7 if "size" in fault else SIZE
        failure(entry("hf://some/repo/w.ckpt", sha256=SHA256, size=size))
    hub.files.clear()
    failure(entry("hf://some/repo/w.ckpt"))
