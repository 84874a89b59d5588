"""Networks of companies, trains and hotels: proxies, certificates, login pages. One line names what to change."""

import gc
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stemsplit.errors import WeightsError
from stemsplit.fetch import download
from stemsplit.registry import ModelEntry
from tests.fetch.conftest import CONTENT
from tests.fetch.hub import Fault, Hub
from tests.fetch.proxies import proxy
from tests.fetch.test_download import SHA256, SIZE

# The HTTP library leaves its connection to a SOCKS proxy open that refuses.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

Make = Callable[..., ModelEntry]

SECRET = "s3cr3t"

# Made with openssl, valid until 2120: an authority, and its certificates for one key, which nothing else uses.
CERTIFICATES = Path(__file__).parent / "certificates"

VARIABLES = [
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
]


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> Iterator[None]:
    """Each test collects what it left, and need not look through all that was there before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_set(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """None of the settings that these tests are about, and a new client for each test."""
    from huggingface_hub.utils import close_session

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    close_session()
    hub.put("/w.ckpt", CONTENT)
    hub.put("some/repo/w.ckpt", CONTENT)
    yield
    close_session()
    gc.collect()


def over_tls(hub: Hub, monkeypatch: pytest.MonkeyPatch, certificate: str = "good") -> None:
    """Let the hub speak TLS only, with a certificate of an authority that nobody knows."""
    from huggingface_hub import constants

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{certificate}.pem", CERTIFICATES / "key.pem")
    for server in hub.servers:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    hub.url, hub.cdn = hub.url.replace("http:", "https:"), hub.cdn.replace("http:", "https:")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")


def mirrors(hub: Hub, entry: Make) -> ModelEntry:
    """An entry with three sources, as published ones have."""
    sources = ("hf://some/repo/w.ckpt", f"{hub.url}/w.ckpt", f"{hub.url}/w.ckpt?mirror")
    return entry(*sources, sha256=SHA256, size=SIZE)


def failure(wanted: ModelEntry) -> str:
    """The message of a failed download: one line, one cause, no password."""
    with pytest.raises(WeightsError) as caught:
        download.fetch(wanted)
    message = str(caught.value)
    assert message.startswith("cannot download 'tiny' (0.3 MB): ")
    assert "\n" not in message
    assert "Errno" not in message
    assert "cannot write" not in message
    assert SECRET not in message
    assert len(re.findall("; ", message)) <= 3
    return message.removeprefix("cannot download 'tiny' (0.3 MB): ")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind", ["http", "socks5", "socks5h", "socks"])
@pytest.mark.parametrize("user", ["", f"me:{SECRET}"])
@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "{}_PROXY", "{}_proxy"])
def test_a_proxy_of_any_kind_is_used(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, tls: bool, kind: str, user: str, name: str
) -> None:
    """`socks://` is what desktops set, and means SOCKS5."""
    if tls:
        over_tls(hub, monkeypatch)
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.pem"))
    wanted = mirrors(hub, entry)
    with proxy("http" if kind == "http" else "socks5", user) as used:
        address = f"{kind}://{user}{'@' if user else ''}127.0.0.1:{used.port}"
        monkeypatch.setenv(name.format("HTTPS" if tls else "HTTP"), address)
        assert download.fetch(wanted).read_bytes() == CONTENT
    assert used.asked


def test_a_host_in_no_proxy_is_reached_without_the_proxy(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert download.fetch(mirrors(hub, entry)).read_bytes() == CONTENT


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind", ["http", "socks5", "socks"])
def test_a_proxy_that_is_down_is_named(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, kind: str, tls: bool
) -> None:
    if tls:
        over_tls(hub, monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("ALL_PROXY", f"{kind}://me:{SECRET}@127.0.0.1:{port}")
    shown = f"{kind.replace('socks5', 'socks').replace('socks', 'socks5')}://***@127.0.0.1:{port}"
    told = rf"the proxy in ALL_PROXY \({re.escape(shown)}\) cannot be reached \([^()]+\); correct the variable, or"
    assert re.match(told, failure(mirrors(hub, entry)))


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("http", {"user": "me:right"}, "asks for another user name and password; write SCHEME://USER:PASSWORD@"),
        ("socks5", {"user": "me:right"}, "asks for another user name and password; write SCHEME://USER:PASSWORD@"),
        ("http", {"refusal": "403 Forbidden"}, "refuses the connection to 127.0.0.1 (403 Forbidden); check"),
        ("http", {"refusal": "502 Bad Gateway"}, "refuses the connection to 127.0.0.1 (502 Bad Gateway); check"),
        ("socks5", {"refusal": "2"}, "refuses the connection to 127.0.0.1 (Connection not allowed by ruleset); check"),
        ("socks5", {"refusal": "4"}, "refuses the connection to 127.0.0.1 (Host unreachable); check"),
    ],
)
def test_a_proxy_that_refuses_is_named_with_its_reason(
    hub: Hub,
    entry: Make,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    more: dict[str, str],
    message: str,
) -> None:
    over_tls(hub, monkeypatch)
    with proxy(kind, **more) as used:
        monkeypatch.setenv("HTTPS_PROXY", f"{kind}://127.0.0.1:{used.port}")
        told = failure(mirrors(hub, entry))
    assert told.startswith("the proxy in HTTPS_PROXY (")
    assert message in told


@pytest.mark.parametrize(
    ("kind", "user", "message"),
    [
        ("http", "me:right", "asks for another user name and password"),
        ("socks5", "me:right", "asks for another user name and password"),
        ("socks5", "", "takes no user name and password; leave them out of the variable"),
    ],
)
def test_a_wrong_password_of_a_proxy_is_not_shown(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, kind: str, user: str, message: str
) -> None:
    over_tls(hub, monkeypatch)
    with proxy(kind, user) as used:
        monkeypatch.setenv("HTTPS_PROXY", f"{kind}://me:{SECRET}@127.0.0.1:{used.port}")
        assert message in failure(mirrors(hub, entry))


def test_a_proxy_that_asks_for_a_password_on_a_plain_connection_is_named(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy("http", "me:right") as used:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{used.port}")
        told = failure(mirrors(hub, entry))
    assert "the proxy in http_proxy (http://127.0.0.1:" in told
    assert "asks for another user name and password" in told


@pytest.mark.parametrize(("kind", "scheme"), [("http", "socks5"), ("socks5", "http"), ("socks5", "https")])
def test_a_proxy_of_another_kind_is_named(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, kind: str, scheme: str
) -> None:
    over_tls(hub, monkeypatch)
    with proxy(kind) as used:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://me:{SECRET}@127.0.0.1:{used.port}")
        with pytest.raises(WeightsError) as caught:
            download.fetch(mirrors(hub, entry))
    assert "HTTPS_PROXY" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("socks4://127.0.0.1:1", "ALL_PROXY is socks4://127.0.0.1:1, but SOCKS4 is not supported; if the proxy knows"),
        ("gopher://127.0.0.1:1", "ALL_PROXY is gopher://127.0.0.1:1, which is not a proxy; write http://HOST:PORT or"),
        (f"http://me:{SECRET}@host:port", "ALL_PROXY is http://***, which is not an address; write http://HOST:PORT"),
        ("http://[", "ALL_PROXY is http://"),
        ("http://", "ALL_PROXY is http://, which is not an address"),
        ("socks5://host:99999999", "which is not an address; write socks5://HOST:PORT, or unset it"),
        ("http://one two:80", "which is not an address"),
    ],
)
@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy"])
def test_a_proxy_that_cannot_be_used_is_named_with_its_value(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    assert message.replace("ALL_PROXY", name) in failure(mirrors(hub, entry))
    assert hub.requests == []


def test_a_missing_package_for_socks_is_named_with_the_command(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemsplit.fetch.settings.find_spec", lambda _: None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    told = failure(mirrors(hub, entry))
    assert re.fullmatch(
        r"ALL_PROXY is a SOCKS proxy, which needs one more package: \S+ -m pip install \S*socksio\S*", told
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "which cannot be read (no such file or directory); set it to a file of certificates"),
        ("", "which holds no certificates; set it"),
        ("garbage", "which holds no certificates; set it"),
        ("folder", "which cannot be read (is a directory); set it"),
    ],
)
def test_certificates_that_cannot_be_read_are_named(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, message: str
) -> None:
    """Such as conda leaves them in the environment."""
    file = tmp_path / "ca.pem"
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    told = failure(mirrors(hub, entry))
    assert told.startswith(f"SSL_CERT_FILE is {file}, which ")
    assert re.search(message.replace("(", r"\(").replace(")", r"\)") if os.name == "posix" else "", told)


def test_a_folder_of_certificates_that_is_not_there_is_named(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "missing"))
    assert "SSL_CERT_DIR is " in failure(mirrors(hub, entry))


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("value", ["/nowhere/ca.pem", __file__])
def test_variables_of_other_programs_break_nothing(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert download.fetch(mirrors(hub, entry)).read_bytes() == CONTENT


def test_an_authority_of_a_companys_own_is_trusted_if_it_is_named(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_tls(hub, monkeypatch)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.pem"))
    assert download.fetch(mirrors(hub, entry)).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("variables", "advice"),
    [
        ({}, "if your network has certificates of its own, set SSL_CERT_FILE to the file that holds them"),
        ({"REQUESTS_CA_BUNDLE": "ca"}, "as REQUESTS_CA_BUNDLE does, which is not read here"),
        ({"SSL_CERT_FILE": "other"}, r"only the certificates of SSL_CERT_FILE \(\S+other.pem\) are trusted; add your"),
        ({"SSL_CERT_DIR": "empty"}, r"only the certificates of SSL_CERT_DIR \(\S+\) are trusted; add your network's"),
    ],
)
def test_a_certificate_that_is_not_trusted_names_the_variable_to_set(
    hub: Hub,
    entry: Make,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    advice: str,
) -> None:
    over_tls(hub, monkeypatch)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path if value == "empty" else CERTIFICATES / f"{value}.pem"))
    told = failure(mirrors(hub, entry))
    assert re.match(rf"the certificate of 127.0.0.1 is not trusted \([^()]+\); .*{advice}", told)


@pytest.mark.parametrize(
    ("certificate", "message"),
    [
        ("expired", "the certificate of 127.0.0.1 is out of date (certificate has expired); check this machine's date"),
        ("other", "the certificate that came for 127.0.0.1 is another host's; if this network asks for a login, open"),
    ],
)
def test_a_certificate_that_does_not_hold_says_why(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, certificate: str, message: str
) -> None:
    over_tls(hub, monkeypatch, certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.pem"))
    assert message in failure(mirrors(hub, entry))


def test_a_server_that_does_not_speak_https_says_so(hub: Hub, entry: Make) -> None:
    address = hub.url.replace("http:", "https:")
    with pytest.raises(WeightsError) as caught:
        download.fetch(entry(f"{address}/w.ckpt", f"{address}/w.ckpt?mirror", sha256=SHA256, size=SIZE))
    told = str(caught.value)
    assert told.count("not speak") == 1
    assert "127.0.0.1 does not speak https on this port; check the address" in told


@pytest.mark.parametrize("way", ["page", "redirect", "511"])
def test_a_login_page_is_told_once(hub: Hub, entry: Make, way: str) -> None:
    """Of a hotel, say; it comes instead of every file, or from another host."""
    fault = {
        "page": Fault(kind="text/html", to_head={"Content-Type": "text/html"}),
        "redirect": Fault(location=f"{hub.cdn}/login"),
        "511": Fault(refusal=(511, "")),
    }[way]
    hub.put("/login", b"<html>", fault=Fault(kind="text/html"))
    hub.put("/w.ckpt", b"<html>", fault=fault)
    hub.put("some/repo/w.ckpt", b"<html>", fault=fault, etag="-")
    told = failure(mirrors(hub, entry))
    assert told.count("login") == 1
    assert "open a page in a browser and log in, then try again" in told


def test_a_login_page_of_one_source_says_what_to_do(hub: Hub, entry: Make) -> None:
    hub.put("some/repo/w.ckpt", CONTENT, lfs=False, fault=Fault(headers={"Content-Type": "text/html"}))
    with pytest.raises(WeightsError, match="sends a web page instead of the file; if this network asks for a login"):
        download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256, size=SIZE))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("hf-mirror.com", "hf-mirror.com, which is not the address of a hub; write https://hf-mirror.com"),
        ("127.0.0.1:8080/", "127.0.0.1:8080/, which is not the address of a hub; write https://127.0.0.1:8080"),
        ("ftp://host", "ftp://host, which is not"),
        ("https://host name", "https://host name, which is not"),
        ("https://host?x", "https://host?***, which is not"),
        ("https://", "https://, which is not"),
        ("http://[", "http://"),
        (f"https://me:{SECRET}@host:port", "https://***, which is not"),
        ("https://ho\nst", "https://ho"),
        ("", "HF_ENDPOINT is empty; unset it"),
    ],
)
def test_an_address_of_the_hub_that_is_none_is_named_with_its_value(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, value: str, shown: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", value)
    told = failure(mirrors(hub, entry))
    assert told.startswith("HF_ENDPOINT is ")
    assert shown in told


@pytest.mark.parametrize("name", ["HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"])
def test_a_number_that_is_none_is_named(hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The hub's library fails to import with it."""
    monkeypatch.setenv(name, "soon")
    assert f"{name} is 'soon', which is not a number of seconds; unset it" in failure(mirrors(hub, entry))


def test_a_token_that_the_hub_refuses_is_named(hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an old one, the hub refuses public files, too."""
    monkeypatch.setenv("HF_TOKEN", f"hf_{SECRET}")
    hub.put("some/repo/w.ckpt", CONTENT, fault=Fault(refusal=(401, "")))
    with pytest.raises(
        WeightsError, match=r"127.0.0.1 refuses the token of HF_TOKEN \(401\); unset it, or log in"
    ) as no:
        download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256, size=SIZE))
    assert SECRET not in str(no.value)


def test_any_other_failure_of_a_library_is_one_downloads(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text may quote secrets."""

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def surprise(*_: Any, **__: Any) -> None:
        raise KeyError(SECRET)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(WeightsError, match="the system starts no more threads"):
            download.fetch(mirrors(hub, entry))
    monkeypatch.setattr("stemsplit.fetch.web.build_hf_headers", surprise)
    with pytest.raises(WeightsError, match="unexpected KeyError; please report it") as caught:
        download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256))
    assert SECRET not in str(caught.value)
