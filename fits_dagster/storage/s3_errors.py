"""Errors of an S3 service, told apart by what the service said, whatever the library wraps round it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    TokenRetrievalError,
)

from fits_dagster.errors import DataflowError, FileError, TransientError

__all__ = ["classify_error", "is_about_credentials", "is_bare_refusal", "is_not_found", "is_of_library"]

NOT_FOUND: Final = frozenset({"404", "NoSuchKey", "NotFound"})

#: What passes by itself, or once somebody has mended it, without a look at any file: code -> reason, remedy.
_TRANSIENT: Final = {
    **dict.fromkeys(
        (
            "BandwidthLimitExceeded",
            "InternalError",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestTimeout",
            "RequestTimeoutException",
            "ServiceUnavailable",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "TooManyRequests",
            "TooManyRequestsException",
            "ConditionalRequestConflict",
            "IncompleteBody",
            "OperationAborted",
            "TemporaryRedirect",
        ),
        ("s3_unavailable", ""),
    ),
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"),
        ("s3_credentials", "the credentials have expired: renew them"),
    ),
    "RequestTimeTooSkewed": ("s3_clock", "the clock of this machine differs from the service's: set it"),
    **dict.fromkeys(
        ("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidDigest"),
        ("checksum_mismatch", "other bytes arrived than were sent"),
    ),
}
_REGION: Final = "the bucket is in another region: set s3.region, or s3.endpoint_url"
_KEY: Final = "the access key or its secret is wrong: set the credentials"
_ACCESS: Final = (
    "the credentials do not allow it: allow it in the policy of the bucket or user "
    "(s3:ListBucket too, else a missing object looks just like this)"
)
#: What stays until the set-up is changed: code -> remedy.
_PERMANENT: Final = {
    "AccessDenied": _ACCESS,
    "AllAccessDisabled": _ACCESS,
    "AccountProblem": _ACCESS,
    "InvalidAccessKeyId": _KEY,
    "SignatureDoesNotMatch": _KEY,
    "InvalidToken": _KEY,
    "NoSuchBucket": "the bucket does not exist: set s3.bucket, or make it",
    "InvalidBucketName": "this cannot be the name of a bucket: set s3.bucket",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "EntityTooLarge": "the file is larger than the service takes",
    "InvalidObjectState": "the object is in cold storage: restore it",
    "KeyTooLongError": "the name is too long for the service",
}
_BY_STATUS: Final = {301: "PermanentRedirect", 403: "AccessDenied"}
_TRANSIENT_STATUS: Final = frozenset({0, 307, 408, 409, 425, 429})
_CREDENTIALS: Final = (
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)


def classify_error(error: Exception, doing: str) -> DataflowError:
    """Return our error for one that was raised while talking to S3.

    Parameters
    ----------
    error : Exception
        Whatever was raised; what it wraps is looked at too.
    doing : str
        The request in words.

    Returns
    -------
    DataflowError
        A `FileError` for what stays until the set-up is changed (``s3_refused``; the message names the
        remedy); else a `TransientError`: ``s3_unavailable``, ``s3_credentials``, ``s3_clock``,
        ``checksum_mismatch``, or ``s3_unknown`` for what nobody has foreseen.
    """
    said = next((one for one in _chain(error) if isinstance(one, ClientError)), None)
    if said is None:
        return _without_answer(error, doing)
    code, status = _code(said), _status(said)
    message = f"{doing}: {said}"
    if code.isdigit() or not code:
        code = _BY_STATUS.get(status, code)
    if code in _TRANSIENT:
        reason, remedy = _TRANSIENT[code]
        return TransientError(_with_remedy(message, remedy), reason=reason)
    if code in _PERMANENT:
        return FileError(_with_remedy(message, _PERMANENT[code]), reason="s3_refused")
    if status >= 500 or status in _TRANSIENT_STATUS:
        return TransientError(message, reason="s3_unavailable")
    if status == 403:
        return FileError(_with_remedy(message, _ACCESS), reason="s3_refused")
    return TransientError(message, reason="s3_unknown")


def is_not_found(error: Exception) -> bool:
    """Tell whether the service said that there is no such object."""
    return any(isinstance(one, ClientError) and _code(one) in NOT_FOUND for one in _chain(error))


def is_about_credentials(classified: DataflowError, error: Exception) -> bool:
    """Tell whether other credentials may help."""
    codes = {_code(one) for one in _chain(error) if isinstance(one, ClientError)}
    return classified.reason == "s3_credentials" or any(_PERMANENT.get(code) == _KEY for code in codes)


def is_of_library(error: Exception) -> bool:
    """Tell whether it is an error of the library; some of those are operating system errors too."""
    return isinstance(error, BotoCoreError)


def is_bare_refusal(error: Exception) -> bool:
    """Tell whether it refused without a word why, as it must when only asked for a head."""
    return any(
        isinstance(one, ClientError) and _status(one) in (400, 403) and (_code(one) or "0").isdigit()
        for one in _chain(error)
    )


def _without_answer(error: Exception, doing: str) -> DataflowError:
    message = f"{doing}: {type(error).__name__}: {error}"
    chain = list(_chain(error))
    if any(isinstance(one, RecursionError) for one in chain):
        # the library asks for the region of the bucket, and is redirected again; where in its code the
        # stack comes to its end is chance, and so is what it is wrapped into
        return FileError(f"{doing}: redirected in a circle - {_REGION}", reason="s3_refused")
    for one in chain:
        if isinstance(one, _CREDENTIALS):
            return TransientError(_with_remedy(message, "set the credentials"), reason="s3_credentials")
        if isinstance(one, ParamValidationError):
            return FileError(message, reason="s3_refused")
        if isinstance(one, HTTPClientError | IncompleteReadError):
            return TransientError(message, reason="s3_unavailable")
    if isinstance(error, BotoCoreError):
        return TransientError(message, reason="s3_unavailable")
    return TransientError(message, reason="s3_unknown")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it wraps, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [getattr(one, "last_exception", None), one.__cause__, one.__context__]


def _code(error: ClientError) -> str:
    return str((error.response or {}).get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int((error.response or {}).get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _with_remedy(message: str, remedy: str) -> str:
    return f"{message} - {remedy}" if remedy else message
