"""Credentials and endpoints are found where the stores' own tools find them, and what is missing is said."""

from pathlib import Path

import pytest

from stemsplit.cloud.address import parse
from stemsplit.cloud.clients import open_client, profile
from stemsplit.cloud.failures import RefusedError, StoreError
from stemsplit.cloud.store import Bucket, bucket_of
from tests.cloud.server import BUCKET, Server


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines), encoding="utf-8")


def test_keys_and_endpoint_come_from_a_profile(s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in s3.environment:
        monkeypatch.delenv(variable)
    endpoint = s3.environment["AWS_ENDPOINT_URL"]
    write(tmp_path / "credentials", "[studio]", "aws_access_key_id = key", "aws_secret_access_key = SECRET")
    write(tmp_path / "config", "[profile studio]", "region = eu-central-1", f"endpoint_url = {endpoint}")
    assert profile() == {}
    monkeypatch.setenv("AWS_PROFILE", "studio")
    bucket = Bucket(parse(f"s3://{BUCKET}"), open_client(parse(f"s3://{BUCKET}")))
    bucket.put("a", b"0", None)
    # What the environment says counts more.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    assert profile() == {"region": "eu-central-1", "endpoint": endpoint}


@pytest.mark.usefixtures("s3")
def test_a_profile_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_PROFILE", "login")
    with pytest.raises(RefusedError, match="no AWS profile named login"):
        open_client(parse(f"s3://{BUCKET}"))
    write(tmp_path / "config", "[profile login]", "sso_session = studio")
    with pytest.raises(RefusedError, match="export-credentials --profile login"):
        open_client(parse(f"s3://{BUCKET}"))
    write(tmp_path / "config", "\x00[profile", "SECRET")
    with pytest.raises(RefusedError) as caught:
        open_client(parse(f"s3://{BUCKET}"))
    assert "SECRET" not in str(caught.value)


ENDPOINTS = [
    "nonsense",
    "ftp://host",
    "http://",
    "https://key:SECRET@host",
    "http://a b",
    "http://h:99999",
    "http://[::1",
]
ENDPOINTS += ["http://1.2.3.999", "http://h\u00f6st", "http://h/?SECRET", "http://h/a|b", "http://h\n"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.usefixtures("s3")
def test_an_endpoint_that_is_not_an_address_is_told(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    for variable in ("AWS_ENDPOINT", "AWS_ENDPOINT_URL"):  # obstore panics later if it reads one of them itself
        monkeypatch.setenv(variable, endpoint)
        with pytest.raises(RefusedError, match="AWS_ENDPOINT_URL") as caught:
            open_client(parse("s3://other"))
        assert "SECRET" not in str(caught.value)


def test_variables_without_a_value_count_as_not_set(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", s3.environment["AWS_ENDPOINT_URL"].upper())
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AWS_REGION", "AZURE_ENDPOINT"):
        monkeypatch.setenv(variable, "")
    Bucket(parse(f"s3://{BUCKET}"), open_client(parse(f"s3://{BUCKET}"))).put("a", b"0", None)


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION"])
@pytest.mark.usefixtures("s3")
def test_what_cannot_be_sent_is_told(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("SECRET\n", "SECRET\u00e9"):
        monkeypatch.setenv(variable, value)
        with pytest.raises(RefusedError, match=variable) as caught:
            open_client(parse(f"s3://{BUCKET}"))
        assert "SECRET" not in str(caught.value)


def test_a_panic_of_the_library_is_an_error_of_one_line(bucket: Bucket) -> None:
    class RustPanic(Exception):  # noqa: N818  # as pyo3 calls it
        pass

    async def request() -> None:
        raise RustPanic("SECRET")

    with pytest.raises(RefusedError, match="obstore failed") as caught:
        bucket.ask("cannot read a", request, lambda: None)
    assert "SECRET" not in str(caught.value)


@pytest.mark.usefixtures("s3")
def test_where_nobody_answers_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="cannot be reached"):
        bucket_of(parse("s3://nowhere")).look("a")


def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(RefusedError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        open_client(parse("az://container"))
