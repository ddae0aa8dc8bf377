"""The promise itself: whatever becomes of the webhooks, every row is right in the end."""

from typing import Any

from .processes import SECRET, Stage
from .truths import check_invariants, ends_by_translation, is_right, wrong_rows


def fate(running: float, webhook: str, outcome: str = "success", url: str = "at_once") -> dict[str, Any]:
    return {
        "pending_seconds": 0.3,
        "running_seconds": running,
        "webhook": webhook,
        "outcome": outcome,
        "url": url,
    }


FATES = [
    fate(1, "prompt"),
    fate(1, "lost"),
    fate(1, "doubled"),
    fate(1, "late"),
    fate(1, "prompt", outcome="failed"),
    fate(1, "lost", outcome="failed"),
    fate(1, "doubled", outcome="failed"),
    fate(1, "prompt", url="later"),
    fate(1, "lost", url="later"),
    fate(1, "reordered"),
    fate(2, "prompt"),
    fate(2, "late", outcome="failed"),
]
REQUESTS = (  # languages of one request share its callback id, and two requests share one, too
    (("es", "de", "fr"), "order-1"),
    (("hi", "pl", "ja"), "order-2"),
    (("pt", "it"), "order-3"),
    (("ko", "tr"), "order-4"),
    (("nl", "sv"), "order-4"),
)


def test_a_dozen_translations_come_out_as_they_really_ended(stage: Stage) -> None:
    simulator = stage.simulator(fates=FATES, url_delay_seconds=2, late_seconds=[1.5, 2.5])
    daemon = stage.daemon(simulator)
    simulator.client.set_webhook(daemon.webhooks, SECRET)
    for languages, callback_id in REQUESTS:
        if callback_id == "order-3":  # its ids come with the webhooks
            stage.database.execute("INSERT INTO translations (callback_id) VALUES (?)", [(callback_id,)] * 2)
        ids = simulator.client.create(languages, title=f"For {callback_id}", callback_id=callback_id)
        if callback_id != "order-3":
            stage.database.track(ids)

    def all_is_told() -> bool:
        truth = simulator.truth()
        unsettled = stage.database.query("SELECT 1 FROM translations WHERE next_poll_at IS NOT NULL")
        over = [one.state in ("delivered", "lost") for each in truth.translations for one in each.deliveries]
        return is_right(stage.database, truth) and not unsettled and len(over) == 14 and all(over)

    daemon.program.until(all_is_told, "every row to be right and every webhook to be told")
    truth = simulator.truth()
    assert wrong_rows(stage.database, truth) == {}
    check_invariants(stage.database)
    assert {name: len(ends) for name, ends in ends_by_translation(stage.database).items()} == {
        one.video_translate_id: 1 for one in truth.translations
    }
    for one in truth.translations:
        row = stage.database.row(one.video_translate_id)
        assert (row["callback_id"], row["title"], row["attention"]) == (one.callback_id, one.title, None)
        if one.status == "success":  # HeyGen names the language of no other
            assert row["output_language"] == one.output_language
        sent = [delivery for delivery in one.deliveries if delivery.state == "delivered"]
        times = stage.database.query(
            "SELECT times_received, signed_by FROM deliveries WHERE video_translate_id = ?",
            one.video_translate_id,
        )
        assert sum(row["times_received"] for row in times) == sum(delivery.attempts for delivery in sent)
        assert {row["signed_by"] for row in times} <= {"main"}
    assert len(stage.database.query("SELECT id FROM translations")) == len(truth.translations)
    assert truth.requests.status_overlaps == 0


def test_a_row_that_another_program_inserts_is_picked_up(stage: Stage) -> None:
    simulator = stage.simulator(fates=[{"outcome": "failed"}, {"outcome": "success"}])
    daemon = stage.daemon(simulator)
    failing = simulator.client.create("es")
    good = simulator.client.create("de")
    stage.database.execute("INSERT INTO translations (video_translate_id) VALUES (?)", [failing, good])
    daemon.program.until(lambda: is_right(stage.database, simulator.truth()), "both rows to be right")
    assert ends_by_translation(stage.database) == {failing[0]: ["poll"], good[0]: ["poll"]}
    check_invariants(stage.database)
