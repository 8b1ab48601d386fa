"""Calls of an S3 server through botocore: bounded in time, retried, and with errors that name what to check."""

import os
import time
from threading import Lock
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from botocore.session import get_session

from orchestrator.artifacts.errors import StoreUnavailable

CONNECT_SECONDS = 5
READ_SECONDS = 10
TRIES = 3
"""How often a call is made in all while the server does not answer or is overloaded, unless AWS_MAX_ATTEMPTS is set."""

_CONNECTIONS = 32
_SEEN_SECONDS = 5.0
_REFUSED = (401, 403)


class S3Calls:
    """Calls one bucket. Safe for concurrent use by threads, and after a fork.

    Credentials, region and endpoint come from where the AWS tools look: variables, files, the role of the machine.

    Args:
        bucket: the name of the bucket.
    """

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self._client: Any = None
        self._process = 0
        self._building = Lock()
        self._seen = 0.0

    def call(self, operation: str, key: str | None = None, **arguments: Any) -> dict[str, Any]:
        """Call an operation of botocore's client on the bucket, or on an object of it.

        Raises:
            FileNotFoundError: the bucket has no such object.
            FileExistsError: a condition of the call does not hold.
            StoreUnavailable: the server is unreachable, the credentials are refused, or the bucket does not exist.
            OSError: the server refused the call for another reason.
        """
        if key is not None:
            arguments["Key"] = key
        try:
            answer: dict[str, Any] = getattr(self.client(), operation)(Bucket=self.bucket, **arguments)
        except (BotoCoreError, ClientError) as error:
            raise self._error(error, key) from error
        self._seen = time.monotonic()
        return answer

    def client(self) -> Any:
        """Return the client of this process. Connections are not shared with the process that forked it."""
        if self._process != os.getpid():
            with self._building:
                if self._process != os.getpid():
                    self._client = _build()
                    self._process = os.getpid()
        return self._client

    def presigned(self, key: str, seconds: int, **arguments: str) -> str:
        """Return an address from which anybody can get an object for some seconds. Nothing is sent.

        Raises:
            StoreUnavailable: there are no credentials.
        """
        parameters = {"Bucket": self.bucket, "Key": key, **arguments}
        try:
            url: str = self.client().generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds)
        except BotoCoreError as error:
            raise self._error(error, key) from error
        return url

    def unreachable(self, error: Exception) -> StoreUnavailable:
        """Return the error for a server that does not answer, or stops in the middle of an answer."""
        reason = " ".join(str(error).split())
        return StoreUnavailable(f"cannot reach the S3 server of bucket {self.bucket!r}: {reason}")

    def _error(self, error: Exception, key: str | None) -> OSError:
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return StoreUnavailable(
                f"no credentials for bucket {self.bucket!r}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if not isinstance(error, ClientError):
            return self.unreachable(error)
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code == "NoSuchBucket":
            return self._no_bucket()
        if status in _REFUSED:
            return StoreUnavailable(
                f"the S3 server refused access to bucket {self.bucket!r} ({code}): check AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY and what they permit"
            )
        if status == 404:
            return self._missing(code, key)
        if status in (409, 412):
            return FileExistsError(f"{key}: {code}")
        if status == 429 or status >= 500:
            return self.unreachable(error)
        return OSError(f"the S3 server refused the call: {error}")

    def _missing(self, code: str, key: str | None) -> OSError:
        """Return the error for a 404, which a HEAD request gets for a missing object and a missing bucket alike."""
        if code != "NoSuchKey" and key is not None and time.monotonic() - self._seen > _SEEN_SECONDS:
            try:
                self.call("head_bucket")
            except OSError as error:
                return error
        if key is None and code != "NoSuchUpload":
            return self._no_bucket()
        return FileNotFoundError(f"no object {key} in bucket {self.bucket!r}")

    def _no_bucket(self) -> StoreUnavailable:
        self._seen = 0.0
        return StoreUnavailable(f"bucket {self.bucket!r} does not exist: create it, or correct the s3:// URL")


def _build() -> Any:
    session = get_session()
    retries: dict[str, Any] = {"mode": "standard"}
    if session.get_config_variable("max_attempts") is None:
        retries["total_max_attempts"] = TRIES
    return session.create_client(
        "s3",
        region_name=session.get_config_variable("region") or "us-east-1",
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries=retries,
            max_pool_connections=_CONNECTIONS,
            signature_version="s3v4",
        ),
    )
