"""Opens obstore's clients, with the credentials and endpoints that the stores' own tools would use.

obstore itself reads the environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`) and asks the machine it runs on (roles of
instances and containers). What the AWS tools keep in files is read here.
"""

import configparser
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from obstore.store import AzureStore, GCSStore, HTTPStore, ObjectStore, S3Store

from stemsplit.cloud.address import Address
from stemsplit.cloud.failures import KEYS, RefusedError, failure

ONCE: Any = {"max_retries": 0, "retry_timeout": timedelta(minutes=2)}
"""Requests are repeated by `stemsplit.cloud.waiting`, which can be given up and knows what each request means."""

TIMES: Any = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(days=1)}
"""Each request has its own time, which depends on its size: see `stemsplit.cloud.store`."""

FROM_PROFILE = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "region": "region",
    "endpoint_url": "endpoint",
}
"""Key in the files of the AWS tools -> obstore's name for it."""

GIVEN = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SKIP_SIGNATURE")
"""Variables that say where credentials come from, so that no profile is asked."""

SENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
"""Variables whose values are sent with each request. obstore panics at a character that cannot be sent."""

ENDPOINTS = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
"""Variables with the endpoint of S3, which obstore does not check; the last one that is set counts."""

OURS = re.compile("AWS_|AZURE_|GOOGLE_")
"""Matches the beginning of the variables that obstore reads."""

ENDPOINT = re.compile(r"(?i)(https?)(://[a-z0-9._-]+|://\[[0-9a-f:.]+\])(:\d+)?(/[a-z0-9._~%/-]*)?")
"""Matches an address that all parts of obstore can read."""

ELSEWHERE = ("sso_session", "sso_start_url", "role_arn", "credential_process")
"""Keys of profiles whose credentials only the AWS tools can get."""


def _section(variable: str, usual: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return a section of a file of the AWS tools; empty if there is none."""
    path = Path(os.environ.get(variable) or Path.home() / ".aws" / usual)
    parser = configparser.RawConfigParser()
    try:
        if path.stat().st_size > 1_000_000:
            return {}
        parser.read(path, encoding="utf-8")
    except (OSError, ValueError, configparser.Error):
        return {}
    return next((dict(parser[name]) for name in names if parser.has_section(name)), {})


def profile() -> dict[str, str]:
    """Return obstore's settings from the user's AWS profile; empty if the environment has credentials itself.

    Raises:
        RefusedError: the profile was asked for but does not exist, or only the AWS tools can get its credentials.
    """
    named = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or ""
    name = named or "default"
    config = _section("AWS_CONFIG_FILE", "config", (f"profile {name}", name))
    found = {**config, **_section("AWS_SHARED_CREDENTIALS_FILE", "credentials", (name,))}
    if named and not found:
        raise RefusedError(f"there is no AWS profile named {named}; check AWS_PROFILE and ~/.aws/config")
    settings = {FROM_PROFILE[key]: value for key, value in found.items() if key in FROM_PROFILE and value}
    if any(os.environ.get(variable) for variable in GIVEN):
        return {key: value for key, value in settings.items() if key in ("region", "endpoint")}
    if named and "access_key_id" not in settings and any(key in found for key in ELSEWHERE):
        export = f'eval "$(aws configure export-credentials --profile {named} --format env)"'
        raise RefusedError(f"the AWS profile {named} holds no keys; run: {export}")
    return settings


def _checked(endpoint: str) -> str:
    """Return an endpoint as obstore needs it.

    Raises:
        RefusedError: it is not an address.
    """
    found = ENDPOINT.fullmatch(endpoint)
    try:
        HTTPStore(endpoint)  # which reads it as S3's client does, without its panic
    except Exception:  # of any kind: see `open_client`
        found = None
    if not found:
        raise RefusedError("the endpoint of S3 is not an address such as https://host:9000; check AWS_ENDPOINT_URL")
    return found[1].lower() + endpoint[found.end(1) :]


def _s3(address: Address) -> ObjectStore:
    settings: dict[str, Any] = profile()
    for variable in SENT:
        if not re.fullmatch("[ -~]*", os.environ.get(variable, "")):
            raise RefusedError(f"{variable} holds a line break or another character that cannot be in it; set it again")
    for key, variables in (("region", ("AWS_DEFAULT_REGION", "AWS_REGION")), ("endpoint", ENDPOINTS)):
        for variable in variables:
            if value := os.environ.get(variable):
                settings[key] = value
    endpoint = settings.get("endpoint", "")
    if endpoint:
        endpoint = settings["endpoint"] = _checked(endpoint)
    options: Any = {**TIMES, "allow_http": endpoint.startswith("http://")}
    # Said although it is the default: without it, two writers could both win.
    return S3Store(address.bucket, conditional_put="etag", client_options=options, retry_config=ONCE, **settings)


def open_client(address: Address) -> ObjectStore:
    """Open a client for the bucket of an address, or for a file on the web.

    Raises:
        RefusedError: the environment does not say how.
    """
    for variable in list(os.environ):
        if OURS.match(variable) and not os.environ[variable]:
            os.environ.pop(variable, None)  # not set, for the stores' own tools; but obstore takes it for a value
    try:
        match address.scheme:
            case "s3":
                return _s3(address)
            case "gs":
                return GCSStore(address.bucket, client_options=TIMES, retry_config=ONCE)
            case "az":
                plain = os.environ.get("AZURE_ALLOW_HTTP", "").lower() in ("1", "true")
                options: Any = {**TIMES, "allow_http": plain}
                return AzureStore(address.bucket, client_options=options, retry_config=ONCE)
        options = {**TIMES, "allow_http": True}
        return HTTPStore(address.url, client_options=options, retry_config=ONCE)
    except RefusedError:
        raise
    except Exception as error:  # of any kind: obstore has several, and its texts may hold what is in the environment
        found = failure(error, address)
        reason = (
            found.reason
            if found.kind is RefusedError
            else f"its settings in the environment are not valid; {KEYS.get(address.scheme, '')}"
        )
        raise RefusedError(f"cannot use {address.scheme}://{address.bucket} ({reason})") from None
