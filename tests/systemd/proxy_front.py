"""A machine with tracker and a proxy in front of it, set up with the very files of docs/proxy."""

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .service import DATABASE, SECRET, TrackerBox

PROXY_FILES = Path(__file__).parents[2] / "docs" / "proxy"
SENDER = Path(__file__).with_name("proxy_sender.py")
SENDER_IN_BOX = "/srv/proxy_sender.py"
HOST, SENDER_ADDRESS = "tracker.example", "203.0.113.9"
TOKEN = "a-token-that-nobody-guesses"
HOOK = "/webhooks/heygen"
CERTIFICATE = "/etc/letsencrypt/live/tracker.example/fullchain.pem"
CADDY_ROOT = "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"
SELF_SIGNED = f"""
mkdir -p /etc/letsencrypt/live/{HOST}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={HOST} \
    -addext subjectAltName=DNS:{HOST} -keyout /etc/letsencrypt/live/{HOST}/privkey.pem -out {CERTIFICATE} 2>&1
"""
Answer = dict[str, Any]
Order = dict[str, object]


class Front:
    """The proxy `name` before tracker, which listens on TCP or on a unix socket."""

    def __init__(self, box: TrackerBox, name: str, *, unix: bool) -> None:
        self.box, self.name, self.unix = box, name, unix
        self.ca = CERTIFICATE if name == "nginx" else CADDY_ROOT
        self._prepare_machine()
        self._start_tracker()
        self._start_nginx() if name == "nginx" else self._start_caddy()

    def _prepare_machine(self) -> None:
        self.box.shell(
            f"ip addr replace 192.0.2.1/32 dev lo; ip addr replace {SENDER_ADDRESS}/32 dev lo; "
            f"echo '192.0.2.1 {HOST}' >> /etc/hosts; rm -f /var/log/nginx/* /var/log/caddy/*"
        )
        self.box.write(SENDER_IN_BOX, SENDER.read_text())

    def _start_tracker(self) -> None:
        self.box.credential("callback_tokens", json.dumps([TOKEN]))
        self.box.start()
        if self.unix:  # changed while it runs, as docs/reverse-proxy.md says
            self.box.drop_in(self._drop_in(), unit="tracker.socket", name="unix")
            self.box.systemctl("restart", "tracker.socket", "tracker.service")

    def _drop_in(self) -> str:
        text = (PROXY_FILES / "tracker.socket.conf").read_text()
        group = "SocketGroup=www-data"
        assert group in text
        return text if self.name == "nginx" else text.replace(group, "SocketGroup=caddy")

    def _start_nginx(self) -> None:
        text = (PROXY_FILES / "nginx.conf").read_text()
        if self.unix:
            text = replaced(
                text, "    server 127.0.0.1:8321;\n", "    server unix:/run/tracker/public.sock;\n"
            )
        self.box.shell(SELF_SIGNED)
        self.box.write("/etc/nginx/sites-available/tracker", text)
        self.box.shell("ln -sf ../sites-available/tracker /etc/nginx/sites-enabled/; nginx -t 2>&1")
        self.box.run("systemctl", "start", "nginx.service", check=True)

    def _start_caddy(self) -> None:
        text = (PROXY_FILES / "Caddyfile").read_text()
        text = replaced(text, "\n{\n", "\n{\n\tlocal_certs\n\tskip_install_trust\n")
        if self.unix:
            text = replaced(
                text,
                "\t\treverse_proxy 127.0.0.1:8321 {\n",
                "\t\treverse_proxy unix//run/tracker/public.sock {\n",
            )
        self.box.write("/etc/caddy/Caddyfile", text)
        self.box.run("systemctl", "start", "caddy.service", check=True)
        self.box.wait_for(
            lambda: self.curl("-X", "OPTIONS", f"https://{HOST}{HOOK}").returncode == 0,
            why="Caddy's certificate",
        )

    @contextmanager
    def stopped_tracker(self) -> Iterator[None]:
        """Neither the service nor its listeners run in this block."""
        self.box.systemctl("stop", "tracker.socket", "tracker.service")
        try:
            yield
        finally:
            self.box.start()

    def curl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.box.run("curl", "-sS", "--cacert", self.ca, "--max-time", "20", *arguments, check=False)

    def statuses(self, *urls: str) -> dict[str, str]:
        """The status of each URL, asked for as it is; 000 without an answer."""
        asked = [word for url in urls for word in ("-o", "/dev/null", url)]
        told = self.curl("--path-as-is", "-w", "%{http_code} ", *asked).stdout
        return dict(zip(urls, told.split(), strict=True))

    def send(
        self,
        body: bytes,
        *,
        path: str = HOOK,
        secret: str | None = SECRET,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
    ) -> Answer:
        """A webhook; signed where there is a secret."""
        [answer] = self.send_all(
            self.order(body, path=path, secret=secret, headers=headers or {}, chunked=chunked)
        )
        return answer

    def order(self, body: bytes, **more: object) -> Order:
        """What `send_all` sends; the sender starts once for all of them."""
        where = {"ca": self.ca, "source": SENDER_ADDRESS, "path": HOOK, "secret": SECRET}
        return where | {"body": encoded(body)} | more

    def send_all(self, *orders: Order) -> list[Answer]:
        """The answers, in the same order."""
        command = ("/usr/bin/python3", SENDER_IN_BOX, "send")
        answers: list[Answer] = json.loads(
            self.box.run(*command, check=True, input=json.dumps(orders)).stdout
        )
        return answers

    def sender(self, how: str, **order: Any) -> "Sender":
        """A sender that goes on beside the test."""
        order |= {"ca": self.ca, "path": HOOK, "secret": SECRET}
        command = ("/usr/bin/python3", SENDER_IN_BOX, how, json.dumps(order))
        pipe = subprocess.PIPE
        return Sender(self.box.popen(*command, stdin=pipe, stdout=pipe))

    def upstream_connections(self) -> int:
        """How many connections from the proxy tracker has, or has waiting in its queue."""
        where = ("-x", "src", "/run/tracker/public.sock") if self.unix else ("-t", "sport", "=", ":8321")
        return len(self.box.run("ss", "-Hn", *where, check=True).stdout.splitlines())

    def stored(self) -> list[bytes]:
        """The bodies of all deliveries, as tracker received them."""
        script = (
            f"import sqlite3; c = sqlite3.connect('{DATABASE}'); "
            "[print(row[0].hex()) for row in c.execute('SELECT body FROM delivery_bodies')]"
        )
        lines = self.box.run("/usr/bin/python3", "-c", script, check=True).stdout.splitlines()
        return [bytes.fromhex(line) for line in lines]

    def logs(self) -> str:
        """Everything that anybody has logged on this machine."""
        return self.box.shell(
            "cat /var/log/nginx/* /var/log/caddy/* 2>/dev/null || true; journalctl -o cat -a"
        ).stdout


class Sender:
    """A sender that runs in the box; leaving the block ends it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def hear(self) -> Answer:
        """Its next line."""
        assert self.process.stdout is not None
        heard: Answer = json.loads(self.process.stdout.readline())
        return heard

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def end(self) -> Answer:
        """Close its input, and hear what it says then."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None  # the box would close it again
        return self.hear()


def encoded(body: bytes) -> str:
    return base64.b64encode(body).decode()


def replaced(text: str, old: str, new: str) -> str:
    """The one place changed, which must be there."""
    assert text.count(old) == 1, old
    return text.replace(old, new)
