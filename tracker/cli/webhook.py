"""Verbs of the webhook endpoint at HeyGen: webhook register, status, rotate, remove."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from tracker.cli.command import Verb, Verbs
from tracker.cli.common import AsJson, Config, Exit, err, out, print_json, print_table
from tracker.cli.services import with_services
from tracker.cli.webhook_registration import NAME, Done, WebhookRegistration
from tracker.daemon.wiring import Services
from tracker.polling.endpoint_check import ADVICE

HELP = "Manage this tracker's webhook endpoint at HeyGen and its secrets."

EndpointId = Annotated[
    str | None,
    typer.Argument(metavar="ENDPOINT_ID", help="HeyGen's id of the endpoint.  \\[default: this tracker's]"),
]
Legacy = Annotated[bool, typer.Option("--legacy", help="Use HeyGen's v1 endpoint API, not v3.")]
ENDPOINT_COLUMNS = {
    "endpoint": "endpoint_id",
    "url": "url",
    "status": "status",
    "events": "events",
    "ours": "ours",
}
SECRET_COLUMNS = {
    "secret": "name",
    "from": "origin",
    "endpoint": "endpoint_id",
    "valid until": "valid_until",
    "last used": "last_used",
    "times": "times_used",
}


def register(
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Public URL of this tracker's webhooks.  \\[default: TRACKER_WEBHOOK_URL]"
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Name to store the secret under.  \\[default: {NAME}]"),
    ] = None,
    legacy: Legacy = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Register this tracker's webhook URL at HeyGen, or repair its registration.

    The secret is stored in TRACKER_WEBHOOK_SECRETS_FILE; without that setting it is printed once.
    """

    async def work(services: Services) -> Done:
        return await WebhookRegistration(services).register(url, name, legacy=legacy)

    done = with_services(config, work, create=True)
    repaired = f", repaired: {', '.join(done.repaired)}" if done.repaired else ""
    said = "was already registered" if done.was_known else "is registered"
    _end(done, f"endpoint {done.endpoint_id} {said}{repaired}: {done.url}", as_json=as_json)


def status(config: Config = None, as_json: AsJson = False) -> None:
    """Show the endpoints at HeyGen and the known secrets. Exit code 1: there is a problem."""

    async def work(services: Services) -> dict[str, Any]:
        return await WebhookRegistration(services).status()

    found = with_services(config, work)
    if as_json:
        print_json(found)
    else:
        _print_status(found)
    raise typer.Exit(Exit.FAILED if found["problems"] else Exit.OK)


def rotate(endpoint_id: EndpointId = None, config: Config = None, as_json: AsJson = False) -> None:
    """Replace the secret of an endpoint; the previous secret stays valid for 24 hours.

    With TRACKER_WEBHOOK_SECRETS_FILE, a running daemon picks up the new secret.
    """

    async def work(services: Services) -> Done:
        return await WebhookRegistration(services).rotate(endpoint_id)

    done = with_services(config, work, create=True)
    _end(done, f"endpoint {done.endpoint_id} has a new secret", as_json=as_json)


def remove(
    endpoint_id: EndpointId = None, legacy: Legacy = False, config: Config = None, as_json: AsJson = False
) -> None:
    """Remove an endpoint at HeyGen; its secret stays valid for 24 hours."""

    async def work(services: Services) -> Done:
        return await WebhookRegistration(services).remove(endpoint_id, legacy=legacy)

    done = with_services(config, work, create=True)
    _end(done, f"endpoint {done.endpoint_id} is removed", as_json=as_json)


def _end(done: Done, headline: str, *, as_json: bool) -> None:
    """Tell what was done, a secret that nothing holds yet first of all."""
    if as_json:
        print_json(asdict(done))
    else:
        out.print(headline, markup=False)
        _print_secret(done)
        for note in done.notes:
            out.print(note, markup=False)
    for problem in done.problems:
        err.print("[red]error:[/] ", end="")
        err.print(problem, markup=False)
    raise typer.Exit(Exit.FAILED if done.problems else Exit.OK)


def _print_secret(done: Done) -> None:
    if done.secrets_file is not None:
        out.print(f"its secret is stored in {done.secrets_file} as {done.name}", markup=False)
    if done.settings:
        out.print("the secret is shown only once; set it and restart the daemon:")
        out.print(done.settings[0], markup=False)
        for more in done.settings[1:]:
            out.print("keep the previous secret for 24 hours; HeyGen signs retries with it:")
            out.print(more, markup=False)


def _print_status(found: dict[str, Any]) -> None:
    rows = [
        one
        | {
            "events": "all" if one["events"] is None else ", ".join(one["events"]),
            "ours": "ours" if one["ours"] else "",
        }
        for one in found["endpoints"]
    ]
    if rows:
        print_table(rows, ENDPOINT_COLUMNS)
    else:
        out.print("no endpoints at HeyGen")
    if found["secrets"]:
        print_table(found["secrets"], SECRET_COLUMNS)
    else:
        out.print("no secrets: signed webhooks are refused")
    delivery = found["delivery"]
    out.print(f"webhooks came first for {delivery['by_webhook']} of the last {delivery['ends']} completions")
    for problem in found["problems"]:
        out.print(f"[red]{problem}[/]: ", end="")
        out.print(ADVICE[problem], markup=False)


app = typer.Typer(
    name="webhook", cls=Verbs, help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode="rich"
)
app.command(
    cls=Verb, epilog="Example: tracker webhook register --url https://tracker.example/webhooks/heygen"
)(register)
app.command(cls=Verb, epilog="Example: tracker webhook status --json")(status)
app.command(cls=Verb, epilog="Example: tracker webhook rotate")(rotate)
app.command(cls=Verb, epilog="Example: tracker webhook remove 3f1c0e2b9d4f4a6f8a7b")(remove)
