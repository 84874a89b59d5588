"""Addresses are told from paths, and those that cannot be used are refused without repeating a secret."""

import pytest

from stemsplit.cloud.address import AddressError, is_address, parse


@pytest.mark.parametrize(
    ("text", "shown", "key", "name"),
    [
        ("s3://bucket", "s3://bucket", "", ""),
        ("S3://bucket/album/", "s3://bucket/album", "album", "album"),
        ("gs://my.bucket/a [live] #1?.wav", "gs://my.bucket/a [live] #1?.wav", "a [live] #1?.wav", "a [live] #1?.wav"),
        ("az://container/a/b.wav", "az://container/a/b.wav", "a/b.wav", "b.wav"),
        ("https://host:8443/a%20b.wav?sig=SECRET#t", "https://host:8443/a b.wav", "a b.wav", "a b.wav"),
        ("http://[::1]:80/a.wav", "http://[::1]:80/a.wav", "a.wav", "a.wav"),
    ],
)
def test_an_address_is_read(text: str, shown: str, key: str, name: str) -> None:
    address = parse(text)
    assert (str(address), address.key, address.name) == (shown, key, name)
    assert "SECRET" not in repr(address)


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3:///key",
        "s3://b/key",
        "s3://bucket//key",
        "s3://bucket/../key",
        "s3://bucket/a/./key",
        "s3://bucket/\x1b[2J",
        f"s3://bucket/{'é' * 513}",
        "s3://key:SECRET@bucket/key",
        "https://user:SECRET@host/a.wav",
        "https://host",
        "https://host:port/a.wav",
        "https://host/%2e%2e/a.wav?sig=SECRET",
        "ftp://host/a.wav",
        "file:///etc/passwd",
    ],
)
def test_what_is_not_a_usable_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(text)
    assert "SECRET" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["s3://bucket/a.wav", "GS://bucket", "az://box/*", "http://host/a", "https://host/a"])
def test_an_address_is_told_from_a_path(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["song.wav", "C:\\songs", "c:/songs", "a/s3:/b", "./s3://bucket", "://", "s3:/bucket"])
def test_a_path_is_not_an_address(text: str) -> None:
    assert not is_address(text)


def test_keys_are_relative_to_a_prefix() -> None:
    prefix = parse("s3://bucket/a")
    assert prefix.below("a/b/c.wav") == "b/c.wav"
    assert str(prefix.at("b/c.wav")) == "s3://bucket/a/b/c.wav"
    with pytest.raises(ValueError, match="not below"):
        prefix.below("ab/c.wav")
    assert parse("s3://bucket").below("c.wav") == "c.wav"
