"""A real S3 server of our own: SeaweedFS, on loopback. It keeps its address and its objects when it is killed."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from tests.waiting import eventually
from tests.world.ports import free_port

ACCESS_KEY = "tester"
SECRET_KEY = "secret-of-the-tester"
_START_SECONDS = 60.0
_PROGRAM = Path(sys.executable).with_name("weed")


class S3Server:
    """An S3 server in a folder, used as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._probe = ""
        self._ports = {name: free_port() for name in ("s3", "master", "volume", "filer")}
        self._grpc = {name: free_port() for name in self._ports}

    def __enter__(self) -> Self:
        (self._folder / "data").mkdir()
        keys = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        known = {"identities": [{"name": ACCESS_KEY, "credentials": [keys], "actions": ["Admin"]}]}
        (self._folder / "s3.json").write_text(json.dumps(known))
        self.start()
        self._probe = self.make_bucket()
        eventually(self._takes, _START_SECONDS, "the S3 server takes objects", shows=self._log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder / "data", ignore_errors=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3']}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which the AWS tools, and we, reach it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, changes: Mapping[str, str] | None = None) -> Any:
        """A plain client of botocore, with which tests look and do harm behind our back."""
        known = self.environment | dict(changes or {})
        return get_session().create_client(
            "s3",
            endpoint_url=known["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id=known["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=known["AWS_SECRET_ACCESS_KEY"],
            config=Config(
                retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=20, signature_version="s3v4"
            ),
        )

    def make_bucket(self) -> str:
        """Make an empty bucket, and return its name."""
        name = f"test-{uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def start(self) -> None:
        """Start it; one that runs or is paused goes on."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            return
        options = {
            "dir": self._folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.volumeSizeLimitMB": 1024,
            "master.electionTimeout": "1s",
            "master.heartbeatInterval": "100ms",
            "master.telemetry": "false",  # it would report to its makers
            "volume.max": 100,
            "s3.config": self._folder / "s3.json",
            "s3.iam": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.autoCreateBucket": "false",
            "s3.allowDeleteBucketNotEmpty": "true",
            **{f"{name}.port": port for name, port in self._ports.items()},
            **{f"{name}.port.grpc": port for name, port in self._grpc.items()},
        }
        words = [f"-{name}={value}" for name, value in options.items()]
        with (self._folder / "s3.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_PROGRAM), "server", "-s3", *words],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self._answers, _START_SECONDS, "the S3 server answers", shows=self._log)

    def kill(self) -> None:
        """Kill -9, also when it is paused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            for port in (*self._ports.values(), *self._grpc.values()):
                for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # it has no option for their folder
                    left.unlink(missing_ok=True)

    def pause(self) -> None:
        """Make it hang: connections stay open, nothing is answered."""
        assert self._process is not None, "the S3 server is not running"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None, "the S3 server is not running"
        self._process.send_signal(signal.SIGCONT)

    def _log(self) -> str:
        return (self._folder / "s3.log").read_text()[-3000:]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log()
        try:
            self.client().list_buckets()
            if self._probe:  # it was started again: it knows buckets earlier than what is in them
                self.client().get_object(Bucket=self._probe, Key="probe")
        except (BotoCoreError, ClientError):
            return False
        return True

    def _takes(self) -> bool:
        try:
            self.client().put_object(Bucket=self._probe, Key="probe", Body=b"x")
        except (BotoCoreError, ClientError):
            return False
        return True
