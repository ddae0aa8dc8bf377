"""`tracker simulate`: HeyGen's look-alike on a port of this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tracker.errors import InputError
from tracker.simulator.app import DEFAULT_KEY, create_app
from tracker.simulator.delivery import Endpoint, SignatureHeader
from tracker.simulator.scenario import LinkExpiry, RetiredAnswer, Scenario, load_scenario
from tracker.simulator.server import base_url, serve

FAULTS = "Faults (rates from 0 to 1)"
TIMES = "Times (seconds, MIN,MAX)"
FILES = "Files"
VERSIONS = "API versions"


def simulate(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address to listen on; port 0 picks a free port.")
    ] = "127.0.0.1:8399",
    webhook_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="URL that receives the webhooks."),
    ] = None,
    webhook_secret: Annotated[
        str | None,
        typer.Option(metavar="SECRET", help="Secret to sign webhooks with.  \\[default: unsigned]"),
    ] = None,
    signature_header: Annotated[
        SignatureHeader, typer.Option(help="Header of the webhook signature.")
    ] = "Signature",
    api_key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY...", help=f"Accepted API key; repeatable.  \\[default: {DEFAULT_KEY}]"),
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Scenario as TOML or JSON; options override it.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="Seed of the random generator; the same seed repeats a run."),
    ] = None,
    pending_seconds: Annotated[
        str | None,
        typer.Option(metavar="MIN,MAX", help="Time a translation is pending.", rich_help_panel=TIMES),
    ] = None,
    running_seconds: Annotated[
        str | None,
        typer.Option(metavar="MIN,MAX", help="Time a translation is running.", rich_help_panel=TIMES),
    ] = None,
    late_seconds: Annotated[
        str | None, typer.Option(metavar="MIN,MAX", help="Delay of late webhooks.", rich_help_panel=TIMES)
    ] = None,
    latency_seconds: Annotated[
        str | None,
        typer.Option(metavar="MIN,MAX", help="Response time of status requests.", rich_help_panel=TIMES),
    ] = None,
    failure_rate: Annotated[
        float | None, typer.Option(metavar="RATE", help="Translations that fail.", rich_help_panel=FAULTS)
    ] = None,
    url_delay_rate: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Successes without a url at first.", rich_help_panel=FAULTS),
    ] = None,
    webhook_lost: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Webhooks that are never sent.", rich_help_panel=FAULTS),
    ] = None,
    webhook_doubled: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Webhooks that are sent twice.", rich_help_panel=FAULTS),
    ] = None,
    webhook_late: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Webhooks that are sent late.", rich_help_panel=FAULTS),
    ] = None,
    webhook_reordered: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Webhooks that are sent out of order.", rich_help_panel=FAULTS),
    ] = None,
    error_rate: Annotated[
        float | None, typer.Option(metavar="RATE", help="Status requests that fail.", rich_help_panel=FAULTS)
    ] = None,
    not_found_rate: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Ids that are not found at first.", rich_help_panel=FAULTS),
    ] = None,
    event_log_complete: Annotated[
        bool | None, typer.Option(help="Include lost webhooks in the event log.", rich_help_panel=FAULTS)
    ] = None,
    v2_deprecated: Annotated[
        bool | None, typer.Option(help="Send v2's deprecation warning.", rich_help_panel=VERSIONS)
    ] = None,
    retire_v2_after_seconds: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Time until v1 and v2 are retired.", rich_help_panel=VERSIONS),
    ] = None,
    retired_answer: Annotated[
        RetiredAnswer | None, typer.Option(help="Response of a retired version.", rich_help_panel=VERSIONS)
    ] = None,
    serve_files: Annotated[
        bool | None,
        typer.Option(help="Serve the files that the links point to.", rich_help_panel=FILES),
    ] = None,
    file_bytes: Annotated[
        str | None, typer.Option(metavar="MIN,MAX", help="Size of a video in bytes.", rich_help_panel=FILES)
    ] = None,
    file_error_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE", help="Downloads that are broken, late or missing.", rich_help_panel=FILES
        ),
    ] = None,
    link_expiry: Annotated[
        LinkExpiry | None, typer.Option(help="Format of the expiry time in links.", rich_help_panel=FILES)
    ] = None,
    link_life_seconds: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Time until links expire.", rich_help_panel=FILES),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON.")] = False,
) -> None:
    """Run a simulator of HeyGen's API (v2 and v3) that creates translations and sends webhooks.

    Example: tracker simulate --webhook-url http://127.0.0.1:8321/webhooks/heygen --webhook-secret s3cret
    --webhook-lost 0.3 --error-rate 0.1

    Then start the daemon with: TRACKER_HEYGEN_BASE_URL=http://127.0.0.1:8399
    TRACKER_HEYGEN_API_KEY=simulator-key TRACKER_WEBHOOK_SECRET=s3cret tracker run
    """
    flags = {name: value for name, value in locals().items() if name in Scenario.model_fields}
    host, port = _address(listen)
    endpoint = _endpoint(webhook_url, webhook_secret, signature_header)
    app = create_app(
        load_scenario(scenario, flags),
        keys=api_key or [DEFAULT_KEY],
        endpoint=endpoint,
        signature_header=signature_header,
    )
    serve(app, host, port, lambda host, port: _announce(base_url(host, port), as_json=as_json))


def _endpoint(url: str | None, secret: str | None, header: SignatureHeader) -> Endpoint | None:
    if url is None:
        if secret is not None:
            raise InputError(
                "--webhook-secret: needs --webhook-url, e.g. http://127.0.0.1:8321/webhooks/heygen"
            )
        return None
    if not url.startswith(("http://", "https://")):
        raise InputError(
            f"--webhook-url {url}: not a URL; for example: http://127.0.0.1:8321/webhooks/heygen"
        )
    return Endpoint(url, secret, signature_header=header)


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit():
        raise InputError(f"--listen {listen}: not HOST:PORT; for example: 127.0.0.1:8399")
    return host.strip("[]"), int(port)


def _announce(url: str, *, as_json: bool) -> None:
    # Flushed, because other programs wait for this line.
    line = json.dumps({"event": "listening", "url": url}) if as_json else f"simulator listening on {url}"
    print(line, flush=True)
