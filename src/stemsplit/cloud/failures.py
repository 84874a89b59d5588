"""Says in one line why an object store refused or failed, and whether it may succeed the next time."""

import re
from dataclasses import dataclass

from obstore import exceptions

from stemsplit.cloud.address import STORES, Address
from stemsplit.cloud.waiting import PanicError
from stemsplit.errors import PlaceError


class StoreError(PlaceError):
    """An object could not be read or written."""


class MissingError(StoreError):
    """There is no such object, or no such bucket."""


class RefusedError(StoreError):
    """The store does not know the user, refuses permission, or cannot be used at all. Other objects fail, too."""


class ConflictError(StoreError):
    """An object is not as it was when this process last saw it: another process wrote it."""


class TooLargeError(StoreError):
    """An object is larger than what it should be."""


class NoRangesError(StoreError):
    """A server on the web sends a file only as a whole."""


ERRORS = (exceptions.BaseError, OSError, ValueError, TypeError, PanicError)
"""What obstore raises. A request that takes too long is a TimeoutError, which is an OSError."""

TRANSIENT = {408, 409, 425, 429, 500, 502, 503, 504, 509}
"""HTTP statuses that may be over at the next try. S3 answers 409 to two conditional writes at once."""

STATUS = re.compile(r"status code: (\d{3})\b")
CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")

KEYS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (a public bucket: AWS_SKIP_SIGNATURE=true)",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}
"""Scheme -> how credentials are given."""

CODES = {
    "NoSuchBucket": "there is no such bucket",
    "ContainerNotFound": "there is no such container",
    "InvalidAccessKeyId": "the access key is not known",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "ExpiredToken": "the credentials have expired",
    "InvalidToken": "the session token is not valid",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_REGION",
    "EntityTooLarge": "it is too large for this store",
    "NotImplemented": "the store does not know conditional writes",
    "QuotaExceeded": "the store is full",
}
"""Code of a store's answer -> what it means."""


@dataclass(frozen=True)
class Failure:
    """A failure, as far as it can be told without repeating what a server said: that may hold secrets.

    Args:
        reason: what happened, and what to try.
        kind: class of the error to raise.
        is_transient: whether it may be over at the next try.
        answered: whether the store itself has answered.
    """

    reason: str
    kind: type[StoreError] = StoreError
    is_transient: bool = False
    answered: bool = True

    def error(self, what: str) -> StoreError:
        """Return the error to raise.

        Args:
            what: what was tried, such as "cannot read s3://bucket/song.flac".
        """
        return self.kind(f"{what} ({self.reason})")


def _lacks_credentials(text: str) -> bool:
    """Return whether a library asked the machine it runs on for credentials, in vain."""
    first = text.partition("\n")[0]
    asked = ("169.254.", "metadata.google", "token request", "MissingAccount", "Account must be specified")
    return any(mark in first for mark in asked)


def _answered(status: int, code: str, address: Address) -> Failure:
    """Return what an HTTP status means."""
    meaning = CODES.get(code, "")
    if code in ("NoSuchBucket", "ContainerNotFound"):
        return Failure(meaning, RefusedError)
    if status == 401 or (status == 403 and code in CODES):
        return Failure(f"{meaning or 'the credentials are not accepted'}; {_keys(address)}", RefusedError)
    if status == 403:
        return Failure(f"no permission{_coded(code)}", RefusedError)
    if status in (404, 410):
        return Failure("it does not exist", MissingError)
    if status in (301, 307, 400) and meaning:
        return Failure(meaning, RefusedError)
    return Failure(meaning or f"the server answers {status}{_coded(code)}", is_transient=status in TRANSIENT)


def _coded(code: str) -> str:
    return f", {code}" if code else ""


def _keys(address: Address) -> str:
    return KEYS.get(address.scheme, "its address may have expired")


def failure(error: BaseException, address: Address) -> Failure:
    """Return what an error of obstore means.

    Args:
        error: the error.
        address: address of the object, or of its bucket.
    """
    text = str(error)
    status, code = STATUS.search(text), CODE.search(text)
    # S3 answers 409 while another write of the object goes on, maybe an own one whose answer was lost; Azure, to a
    # write of a new object that is there already.
    is_racing = status is not None and status[1] == "409" and not (code and code[1] == "BlobAlreadyExists")
    if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError) and not is_racing:
        return Failure("another process wrote it", ConflictError)
    if _lacks_credentials(text):
        return Failure(f"no credentials were found; {_keys(address)}", RefusedError, answered=False)
    if status:
        return _answered(int(status[1]), code[1] if code else "", address)
    if isinstance(error, FileNotFoundError):
        return Failure("it does not exist", MissingError)
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return Failure(f"no permission; {_keys(address)}", RefusedError)
    if isinstance(error, exceptions.NotSupportedError):
        return Failure(f"{STORES.get(address.scheme, 'the server')} does not support it", NoRangesError)
    if isinstance(error, PanicError):
        return Failure("obstore failed; check the store's settings in the environment", RefusedError, answered=False)
    if isinstance(error, exceptions.InvalidPathError | ValueError | TypeError):
        return Failure("it has a name that cannot be used")
    if "Content-Length Header missing" in text:
        return Failure("the server does not say how long it is; download it first, and name its file")
    if "error following redirect" in text:
        return Failure("the server redirects in a circle, or to an address that is not one")
    if "builder error" in text:
        return Failure("the endpoint is not an address; check AWS_ENDPOINT_URL", RefusedError, answered=False)
    if "invalid peer certificate" in text:
        return Failure("its certificate is not trusted", RefusedError, answered=False)
    if isinstance(error, TimeoutError) or "kind: Timeout" in text or "timed out" in text:
        return Failure("no answer in time", is_transient=True, answered=False)
    return Failure("it cannot be reached, or the connection broke off", is_transient=True, answered=False)
