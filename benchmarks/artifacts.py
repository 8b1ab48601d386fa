"""W13: an artifact stored and read, on local files and on a real S3 server, beside plain files and plain boto3."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.folders import open_folder
from benchmarks.report import OURS, Report
from orchestrator.artifacts import ArtifactStore

LABEL = "W13 an artifact of {} on {}"
SIZES = {"1 KB": (1 << 10, 40), "1 MB": (1 << 20, 15), "100 MB": (100 << 20, 3)}
"""The size in bytes, and how often it is measured."""

BOTO3 = "boto3"
PLAIN_FILES = "plain files, flushed"

Measured = Callable[[Path], tuple[float, float]]
"""Stores a file and reads it back; returns how long each took, in seconds."""


def measure(report: Report, *, full: bool) -> None:  # noqa: ARG001 - one size
    """Measure ours and the plain one in turns, each time with other content. All is on this machine."""
    import boto3  # noqa: PLC0415 - an extra for development

    from tests.s3 import S3Server  # noqa: PLC0415 - the same

    with open_folder() as folder, open_folder() as home, S3Server(home) as server:
        os.environ.update(server.environment)
        bucket = server.make_bucket()
        client = boto3.client("s3", region_name="us-east-1")
        places: dict[str, dict[str, Measured]] = {
            "local files": {OURS: _ours(ArtifactStore(str(folder / "store"))), PLAIN_FILES: _plain_files(folder)},
            "S3": {OURS: _ours(ArtifactStore(f"s3://{bucket}/ours")), BOTO3: _boto3(client, bucket, folder)},
        }
        for name, (size, times) in SIZES.items():
            for place, contestants in places.items():
                _compare(report, LABEL.format(name, place), contestants, folder, (size, times))


def _ours(store: ArtifactStore) -> Measured:
    def measured(source: Path) -> tuple[float, float]:
        put, made = _timed(lambda: store.put_file("default", source, type="x"))
        return put, _timed(lambda: _read(store, made))[0]

    return measured


def _plain_files(folder: Path) -> Measured:
    def measured(source: Path) -> tuple[float, float]:
        target = folder / f"{source.name}.copy"
        put, _ = _timed(lambda: _copy(source, target))
        return put, _timed(lambda: sha256(target.read_bytes()).hexdigest())[0]

    return measured


def _boto3(client: Any, bucket: str, folder: Path) -> Measured:
    def measured(source: Path) -> tuple[float, float]:
        put, _ = _timed(lambda: client.upload_file(str(source), bucket, source.name))
        return put, _timed(lambda: client.download_file(bucket, source.name, str(folder / "got")))[0]

    return measured


def _compare(
    report: Report, label: str, contestants: Mapping[str, Measured], folder: Path, amount: tuple[int, int]
) -> None:
    """Measure in turns, leave the first round out, and report the medians."""
    size, times = amount
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for number in range(times + 1):
        for name, measured in contestants.items():
            source = folder / f"source-{name}-{size}-{number}".replace(" ", "-")
            source.write_bytes(os.urandom(size))
            taken[name].append(measured(source))
            source.unlink()
    for index, what in enumerate(("store", "read")):
        medians = {name: statistics.median(each[index] for each in rounds[1:]) for name, rounds in taken.items()}
        for name, seconds in medians.items():
            report.add(label, what, seconds * 1000, "ms", of=name)


def _read(store: ArtifactStore, artifact: Any) -> None:
    with store.open_verified(artifact, "default") as file:
        while file.read(1 << 20):
            pass


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as file, target.open("wb") as copy:
        while chunk := file.read(1 << 20):
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result
