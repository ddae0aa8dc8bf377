"""The proxies of docs/proxy: Debian's nginx and Caddy, with the very files, in front of the real service."""

import gzip
import json

import pytest

from .machine import need
from .proxy_front import HOOK, HOST, SENDER_ADDRESS, TOKEN, Front, encoded
from .service import TrackerBox

URL = f"https://{HOST}{HOOK}"
MIB = 1024 * 1024
RESTARTS = 2
FRONTS = {
    "nginx": ("nginx", False),
    "caddy": ("caddy", False),
    "nginx-unix": ("nginx", True),
    "caddy-unix": ("caddy", True),
}
# How the proxy reaches tracker makes no difference to these.
either_proxy = pytest.mark.parametrize("front", ["nginx", "caddy"], indirect=True)


@pytest.fixture(scope="module", params=FRONTS)
def front(request: pytest.FixtureRequest, module_box: TrackerBox) -> Front:
    """One machine after the other, in the same box."""
    name, unix = FRONTS[request.param]
    need(name, "curl", "openssl", "ss")
    module_box.reset()
    module_box.configure(heygen_base_url="http://127.0.0.1:9")  # nobody is there: polls change nothing
    return Front(module_box, name, unix=unix)


def event(video_translate_id: str) -> bytes:
    told = {"video_translate_id": video_translate_id, "url": "https://files.example/a.mp4"}
    return json.dumps({"event_type": "video_translate.success", "event_data": told}).encode()


AWKWARD = {
    "escapes": rb'{"event_type":"x.y","event_data":{"video_translate_id":"\u0061\/\ud83d\ude00"}}',
    "line ends": b'{"event_type":\r\n"x.y",\r\n\t"event_data":{"video_translate_id":"b"}}\r\n\r\n',
    "spaces": b'  {"event_type" : "x.y" , "event_data" : {"video_translate_id":"c"} }   \n',
    "utf-8": '{"event_type":"x.y","event_data":{"title":"\u00fc \u4f60 \U0001f600 \u2028"}}'.encode(),
    "a byte order mark": b'\xef\xbb\xbf{"event_type":"x.y"}',
    "gzip": gzip.compress(b'{"event_type":"x.y"}', mtime=0),
    "zeros": b"\x00\x01\xff" * 5000,
    "chunk-like": b"5\r\nhello\r\n0\r\n\r\n",
    "large": b'{"event_type":"x.y","event_data":{"n":"' + b"0123456789" * 30_000 + b'"}}',
}


def test_bodies_arrive_byte_for_byte_whole_and_in_chunks(front: Front) -> None:
    sent = {(name, chunked): AWKWARD[name] + b" " * chunked for name in AWKWARD for chunked in (False, True)}
    json_type = {"Content-Type": "application/json"}
    orders = [
        front.order(
            body,
            chunked=chunked,
            headers=json_type | ({"Content-Encoding": "gzip"} if name == "gzip" else {}),
        )
        for (name, chunked), body in sent.items()
    ]

    answers = front.send_all(*orders)

    assert {answer["status"] for answer in answers} == {
        200,
        400,
    }  # 401 would be: not the bytes that were signed
    stored = front.stored()
    assert [key for key, body in sent.items() if body not in stored] == []


@either_proxy
def test_the_probe_is_answered_well_within_heygens_second(front: Front) -> None:
    for method in ("OPTIONS", "GET"):
        told = front.curl("-X", method, "-o", "/dev/null", "-w", "%{http_code} %{time_total}", URL).stdout
        status, seconds = told.split()
        assert (status, float(seconds) < 1) == ("200", True), told


@either_proxy
@pytest.mark.parametrize(("flag", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_it_speaks_both_versions_of_http(front: Front, flag: str, version: str) -> None:
    told = front.curl(flag, "-X", "OPTIONS", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", URL)

    assert told.stdout == f"{version} 200"


@either_proxy
@pytest.mark.parametrize(("version", "spoken"), [("tls1_1", False), ("tls1_2", True), ("tls1_3", True)])
def test_it_speaks_tls_1_2_or_newer(front: Front, version: str, spoken: bool) -> None:
    client = f"openssl s_client -connect {HOST}:443 -servername {HOST} -cipher DEFAULT:@SECLEVEL=0 -{version}"

    told = front.box.run("bash", "-c", f"{client} </dev/null 2>&1", check=False).stdout

    assert ("Server public key is" in told) == spoken, told
    assert ("alert protocol version" in told) != spoken, told


@either_proxy
def test_plain_http_is_sent_to_https(front: Front) -> None:
    told = front.curl("-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", f"http://{HOST}{HOOK}").stdout

    assert told == f"308 {URL}"


@either_proxy
@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunked"])
def test_the_limit_is_trackers_to_the_byte(front: Front, chunked: bool) -> None:
    body = event(f"limit-{chunked}")

    just, larger = front.send_all(
        *(front.order(body.ljust(size), chunked=chunked) for size in (MIB, MIB + 1))
    )

    assert just["status"] == 200, just
    assert larger["status"] == 413, larger
    assert [len(stored) for stored in front.stored() if stored.startswith(body)] == [MIB]


ELSEWHERE = (
    *("/", "/healthz", "/readyz", "/metrics", "/api/translations", "/api/openapi.json"),
    *("/webhooks", "/webhooks/heygen/", "/webhooks/heygen/a/b", "/webhooks/heygen-two", "/hooks/heygen"),
    *(
        "/webhooks/heygen/../../metrics",
        "/webhooks/heygen/..%2f..%2fmetrics",
        "/webhooks/heygen/%2e%2e/metrics",
    ),
)


@either_proxy
def test_nothing_else_is_forwarded(front: Front) -> None:
    urls = [f"https://{HOST}{path}" for path in ELSEWHERE]

    assert front.statuses(*urls) == dict.fromkeys(urls, "404")


@either_proxy
def test_the_admin_listener_is_on_this_machine_alone(front: Front) -> None:
    assert front.box.run("curl", "-sS", "http://127.0.0.1:8322/healthz", check=True).stdout
    for port in (8321, 8322):
        assert front.box.run("curl", "-sS", f"http://192.0.2.1:{port}/healthz", check=False).returncode == 7


def test_the_log_shows_the_senders_own_address_whatever_the_sender_claims(front: Front) -> None:
    claims = {"X-Forwarded-For": "6.6.6.6, 127.0.0.1", "Forwarded": "for=6.6.6.6", "X-Real-IP": "6.6.6.6"}

    answer = front.send(event("spoofed"), secret="whsec_of somebody else", headers=claims)

    assert answer["status"] == 401
    assert front.box.events("webhook refused: no valid signature")[-1]["client"] == SENDER_ADDRESS


def test_a_webhook_whose_body_is_still_to_come_stands_in_nobodys_way(front: Front) -> None:
    body = event("slow")
    with front.sender("slow", body=encoded(body)) as slow:
        slow.hear()
        assert front.send(event("quick"))["status"] == 200
        if front.name == "nginx":  # Caddy 2.6 hands a body on as it comes
            front.box.wait_for(lambda: front.upstream_connections() == 0, why="nginx keeps what is not whole")
        slow.tell("rest\n")
        assert slow.hear()["status"] == 200

    assert body in front.stored()


@either_proxy
def test_a_webhook_whose_body_never_comes_is_never_answered_as_stored(front: Front) -> None:
    body = event("half")
    with front.sender("slow", body=encoded(body)) as slow:
        slow.hear()
        slow.tell("wait\n")
        assert slow.hear()["status"] == (0 if front.name == "nginx" else 408)  # nginx hangs up


def test_without_tracker_the_sender_hears_so_at_once_and_a_token_is_in_no_log(front: Front) -> None:
    paths = [
        f"{HOOK}/{TOKEN}",
        f"{HOOK}/{TOKEN}?a={TOKEN}",
        f"/Webhooks//HeyGen/{TOKEN}",
        f"{HOOK}/x/{TOKEN}",
    ]
    bodies = (event("hint"), b" " * (MIB + 1))
    assert front.send(event("hint"), path=paths[0], secret=None)["status"] == 200
    with front.stopped_tracker():
        answer = front.send(event("nobody"))
        front.send_all(*(front.order(body, path=path, secret=None) for path in paths for body in bodies))
        for path in paths:
            front.curl("-X", "POST", "-H", f"Content-Length: {MIB + 1}", f"http://{HOST}{path}")

    assert answer["status"] in (502, 503), answer
    assert answer["seconds"] < 5
    assert front.send(event("somebody"))["status"] == 200
    logs = front.logs()
    assert f"{HOOK}/(" in logs
    assert TOKEN not in logs


def test_restarts_of_tracker_are_not_seen_from_outside(front: Front) -> None:
    with front.sender("stream", rate=60, threads=12) as stream:
        stream.hear()
        for _ in range(RESTARTS):
            front.box.systemctl("restart", "tracker.service")
        told = stream.end()

    assert told["bad_count"] == 0, told
    assert told["sent"] > 30
    streamed = [body for body in front.stored() if b'"s-' in body]
    assert len(streamed) == told["sent"]


@either_proxy
def test_a_restart_of_the_proxy_cuts_nothing_off_half_way(front: Front) -> None:
    front.box.systemctl("reload", f"{front.name}.service")

    assert front.send(event("reloaded"))["status"] == 200


def test_the_unix_socket_is_for_the_proxy_alone(front: Front) -> None:
    if not front.unix:
        assert front.box.run("curl", "-sS", "http://127.0.0.1:8321/healthz", check=True).stdout
        return
    group = "www-data" if front.name == "nginx" else "caddy"
    path = "/run/tracker/public.sock"
    stat = front.box.run("stat", "-c", "%U %G %a", path, check=True).stdout
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    told = front.box.run(*nobody, "curl", "-sS", "--unix-socket", path, "http://x/healthz")

    assert stat.split() == ["root", group, "660"]
    assert told.returncode == 7, told.stdout + told.stderr
    assert front.box.run("curl", "-sS", "http://127.0.0.1:8321/healthz", check=False).returncode == 7
