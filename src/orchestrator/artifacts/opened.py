"""Open the files below a URL: those of S3 with our own adapter, all others with fsspec."""

from orchestrator.artifacts.blobs import Blobs

_S3 = "s3://"


def open_blobs(url: str, *, durable: bool = True, read_only: bool = False, settled_seconds: float = 2.0) -> Blobs:
    """Return the files below a URL; see `Blobs` for the arguments.

    Raises:
        ImportError: the package for the URL's scheme is not installed.
        ValueError: the URL is invalid.
    """
    if url.startswith(_S3):
        from orchestrator.artifacts.s3 import S3Blobs  # noqa: PLC0415 - needs the extra `s3`

        return S3Blobs(url)
    return Blobs(url, durable=durable, read_only=read_only, settled_seconds=settled_seconds)
