"""Webhook requests: who signed them, and what they say."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import ID, NOON, SECRET, URL, after, as_body, event, payload, signature
from tests.unit.heygen.test_payloads import any_text, json_values, nested
from tracker.domain.observation import Details, Observation
from tracker.domain.outcome import DeliveryOutcome
from tracker.domain.record import Record
from tracker.domain.status import Source, Status
from tracker.heygen.webhook_events import (
    find_signer,
    parse_json_object,
    read_event,
    read_logged,
    read_unusable,
    sign,
)

BODY = payload("webhook_success")
SECRETS = {"main": SECRET}
HEX = sign(BODY, SECRET)


def read(raw_event: dict[str, Any], *, signed_by: str | None = "main", headers: Any = ()) -> Record:
    return read_event(raw_event, as_body(raw_event), headers, NOON, signed_by)


def observed(raw_event: dict[str, Any], *, signed_by: str | None = "main") -> Observation:
    observation = read(raw_event, signed_by=signed_by).observation
    assert observation is not None
    return observation


def refused(
    raw_event: dict[str, Any], *, signed_by: str | None = "main"
) -> tuple[DeliveryOutcome, str | None]:
    """What a record that observes nothing is kept as."""
    record = read(raw_event, signed_by=signed_by)
    assert record.observation is None
    assert record.delivery is not None
    return record.outcome, record.delivery.error


# Signatures


def test_a_signature_is_the_hex_hmac_sha256_of_the_raw_body() -> None:
    known = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    assert sign(b"The quick brown fox jumps over the lazy dog", "key") == known


def test_both_signature_headers_match_in_any_case() -> None:
    for name in ("Signature", "Heygen-Signature", "signature", "HEYGEN-SIGNATURE"):
        assert find_signer(BODY, [(name, HEX)], SECRETS) == "main", name


def test_signature_matches_in_any_case_and_with_sha256_prefix() -> None:
    for value in (HEX, HEX.upper(), f"sha256={HEX}", f"SHA256={HEX.upper()}", f"  {HEX} ", f"\t{HEX}"):
        assert find_signer(BODY, [("Signature", value)], SECRETS) == "main", value


def test_other_signature_values_are_refused() -> None:
    values = [
        *("", "sha256=", HEX[:-1], HEX + "0", "0" * 64, f"sha256={HEX[:-1]}"),
        *(f"sha1={HEX}", f"v1={HEX}", f"{HEX}, {HEX}"),
        *("ü" * 64, "\udcff" * 64, "\x00", "ℵ" * 10_000),
    ]
    assert [value for value in values if find_signer(BODY, [("Signature", value)], SECRETS)] == []


def test_other_headers_are_no_signature() -> None:
    names = ["X-HeyGen-Signature", "X-Signature", "Authorization", "Signature-Input", ""]
    assert [name for name in names if find_signer(BODY, [(name, HEX)], SECRETS)] == []


def test_one_valid_signature_of_several_is_enough() -> None:
    good, bad = ("Signature", HEX), ("Signature", "0" * 64)
    for headers in ([good, bad], [bad, good], [("Heygen-Signature", "x"), good], [good, good]):
        assert find_signer(BODY, headers, SECRETS) == "main"
    assert find_signer(BODY, [bad, bad], SECRETS) is None


def test_no_header_or_no_secret_means_no_signer() -> None:
    assert find_signer(BODY, [], SECRETS) is None
    assert find_signer(BODY, [("Signature", HEX)], {}) is None


def test_signer_is_named_for_every_secret_of_a_rotation() -> None:
    secrets = {"old": "whsec_old", "new": "whsec_new"}
    assert find_signer(BODY, [signature(BODY, "whsec_old")], secrets) == "old"
    assert find_signer(BODY, [signature(BODY, "whsec_new")], secrets) == "new"
    assert find_signer(BODY, [signature(BODY, "whsec_other")], secrets) is None


def test_the_whsec_prefix_belongs_to_the_secret() -> None:
    assert find_signer(BODY, [signature(BODY, SECRET.removeprefix("whsec_"))], SECRETS) is None


def test_another_body_was_not_signed() -> None:
    assert find_signer(BODY + b" ", [("Signature", HEX)], SECRETS) is None
    assert find_signer(b"", [("Signature", HEX)], SECRETS) is None


def test_an_empty_body_can_be_signed() -> None:
    assert find_signer(b"", [signature(b"")], SECRETS) == "main"


@given(
    st.binary(), st.lists(st.tuples(st.sampled_from(["Signature", "x"]) | st.text(), any_text), max_size=4)
)
def test_arbitrary_headers_neither_fail_nor_verify(body: bytes, headers: list[tuple[str, str]]) -> None:
    assert find_signer(body, headers, {"main": "a secret that no test guesses"}) is None


# Signed ends


def test_success_event_has_status_and_url() -> None:
    record = read_event(parse_json_object(BODY), BODY, [], NOON, "main")
    assert record.observation == Observation(
        source=Source.WEBHOOK,
        observed_at=NOON,
        video_translate_id=ID,
        callback_id="mine",
        status=Status.SUCCESS,
        provider_status="success",
        details=Details(url=URL, output_language="Urdu (Pakistan)"),
    )


def test_failure_event_has_its_reason() -> None:
    body = payload("webhook_fail")
    failed = read_event(parse_json_object(body), body, [], NOON, "main").observation
    assert failed is not None
    assert (failed.status, failed.provider_status, failed.callback_id) == (Status.FAILED, "fail", None)
    assert failed.details == Details(message="The video has no speech")


def test_v3_fields_are_read_if_present() -> None:
    body = payload("webhook_v3")
    record = read_event(parse_json_object(body), body, [], NOON, "main")
    assert record.observation is not None
    assert (record.observation.video_translate_id, record.observation.occurred_at) == (ID, NOON)
    assert record.observation.details == Details(url=URL)
    assert record.delivery is not None
    assert record.delivery.event_id == "evt_1"


def test_final_event_has_the_id_in_one_of_three_fields() -> None:
    for name in ("video_translate_id", "video_translation_id", "id"):
        body = {"event_type": "video_translate.success", "event_data": {name: ID}}
        assert observed(body).video_translate_id == ID, name


def test_the_reason_has_five_names_and_may_be_an_object() -> None:
    for name in ("message", "msg", "failure_message", "error", "reason"):
        assert observed(event("video_translate.fail", **{name: "no"})).details.message == "no", name
        assert observed(event("video_translate.failed", **{name: {"message": "no"}})).details.message == "no"


def test_first_non_empty_reason_wins() -> None:
    raw_event = event("video_translate.fail", message="", msg=None, reason="no", error={"code": "E7"})
    assert observed(raw_event).details.message == "E7"


def test_a_callback_id_may_be_anything() -> None:
    for callback_id, kept in [
        (None, None),
        ("", None),
        ("x" * 10_000, "x" * 10_000),
        ('{"order": 7, "lang": "ü"}', '{"order": 7, "lang": "ü"}'),
        (12345678901234567890, "12345678901234567890"),
        ({"order": 7}, '{"order": 7}'),
        (False, "false"),
        ("a\x00b\ud800", "a\ufffdb\ufffd"),
        (" 'quoted\" /.. \u202e", " 'quoted\" /.. \u202e"),
    ]:
        record = read(event(callback_id=callback_id))
        assert record.observation is not None
        assert record.delivery is not None
        assert (record.observation.callback_id, record.delivery.callback_id) == (kept, kept)
        assert record.observation.status is Status.SUCCESS


def test_deepest_parsable_nesting_is_harmless() -> None:
    for name in ("callback_id", "title", "message", "url", "event_type", "video_translate_id"):
        body: dict[str, Any] = event("video_translate.fail") | {"event_data": {"video_translate_id": ID}}
        (body if name == "event_type" else body["event_data"])[name] = nested(100_000)
        record = read_event(body, b"the bytes", [], NOON, "main")
        assert record.delivery is not None
        assert getattr(record.delivery, name, None) is None, name


# Ids


@pytest.mark.parametrize("signed_by", ["main", None])
def test_invalid_id_is_stored_as_an_error(signed_by: str | None) -> None:
    bad_ids: list[object] = [
        *("a/b", "../../etc/passwd", "a.b", "a b", "a'b", 'a"b', "a;--", " " + ID),
        *("é", "٣", "a\x00", "\ud800", "x" * 256, {"a": 1}, [ID], 1.5),
    ]
    problem = (DeliveryOutcome.ERROR, "the event has an invalid video_translate_id")
    for bad in bad_ids:
        raw_event = event("video_translate.success", video_translate_id=bad)
        assert refused(raw_event, signed_by=signed_by) == problem, bad


def test_a_number_can_be_an_id() -> None:
    assert observed(event(video_translate_id=17)).video_translate_id == "17"


@pytest.mark.parametrize("signed_by", ["main", None])
def test_final_event_without_any_id_is_an_error(signed_by: str | None) -> None:
    nothing: list[Any] = [None, "text", [], 7, {}, {"video_translate_id": None}, {"callback_id": ""}]
    for data in nothing:
        raw_event = {"event_type": "video_translate.success", "event_data": data}
        assert refused(raw_event, signed_by=signed_by) == (
            DeliveryOutcome.ERROR,
            "the event names no translation",
        ), data


def test_final_event_without_event_data_is_an_error() -> None:
    assert refused({"event_type": "video_translate.fail"})[0] is DeliveryOutcome.ERROR


# Hints


def is_a_mere_hint(observation: Observation) -> bool:
    plain = (observation.status, observation.provider_status, observation.occurred_at) == (None, None, None)
    return observation.hint and plain and observation.details == Details()


def test_unsigned_event_is_only_a_hint() -> None:
    raw_event = event(url=URL, callback_id="mine", title="Talk") | {"created_at": 1795435200}
    hint = observed(raw_event, signed_by=None)
    assert is_a_mere_hint(hint)
    assert (hint.video_translate_id, hint.callback_id) == (ID, "mine")


def test_final_event_with_only_a_callback_id_is_a_hint() -> None:
    hint = observed(event(video_translate_id=None, callback_id="mine", url=URL))
    assert is_a_mere_hint(hint)
    assert (hint.video_translate_id, hint.callback_id) == (None, "mine")


@pytest.mark.parametrize("signed_by", ["main", None])
def test_other_events_about_translations_are_hints(signed_by: str | None) -> None:
    for event_type in (
        "video_translate.preflight.validation_failed",
        "video_translate.new",
        "batch.finished",
    ):
        hint = observed(event(event_type, message="no"), signed_by=signed_by)
        assert is_a_mere_hint(hint), event_type
        assert hint.video_translate_id == ID


def test_batch_id_is_not_a_translation_id() -> None:
    batch = {"event_type": "batch.finished", "event_data": {"id": "batch7", "batch_id": "batch7"}}
    assert refused(batch) == (DeliveryOutcome.UNKNOWN, None)


def test_a_batch_may_name_a_callback_id() -> None:
    batch = {"event_type": "batch.finished", "event_data": {"id": "batch7", "callback_id": "mine"}}
    assert (observed(batch).video_translate_id, observed(batch).callback_id) == (None, "mine")


# Events that are not for us


def test_events_of_other_products_are_kept_and_ignored() -> None:
    for event_type in ("avatar_video.success", "video_translate", "VIDEO_TRANSLATE.SUCCESS", " "):
        assert refused(event(event_type)) == (DeliveryOutcome.IGNORED, None), event_type


def test_an_event_without_a_type_is_an_error() -> None:
    for raw_event in ({}, event(None), event("")):  # type: ignore[arg-type]
        assert refused(raw_event) == (DeliveryOutcome.ERROR, "the event has no event_type")


def test_event_type_other_than_text_is_ignored() -> None:
    assert refused(event(["video_translate.success"]))[0] is DeliveryOutcome.IGNORED  # type: ignore[arg-type]


# What is kept


def test_delivery_is_stored_unchanged() -> None:
    headers = [("Signature", HEX), ("X-Odd", "a\x00\udcff"), ("Empty", ""), ("Signature", "again")]
    delivery = read_event(parse_json_object(BODY), BODY, headers, after(5), "main").delivery
    assert delivery is not None
    assert (delivery.body, delivery.body_sha256) == (BODY, hashlib.sha256(BODY).hexdigest())
    assert (delivery.received_at, delivery.signed_by, delivery.error) == (after(5), "main", None)
    assert (delivery.event_type, delivery.video_translate_id) == ("video_translate.success", ID)
    assert delivery.headers == (
        ("Signature", HEX),
        ("X-Odd", "a\ufffd\ufffd"),
        ("Empty", ""),
        ("Signature", "again"),
    )


def test_headers_with_credentials_are_dropped() -> None:
    secret = [
        ("Authorization", "Bearer x"),
        ("Cookie", "y"),
        ("X-API-KEY", "z"),
        ("Proxy-Authorization", "w"),
    ]
    delivery = read(event(), headers=secret).delivery
    assert delivery is not None
    assert delivery.headers == ()


def test_the_event_id_comes_from_the_body_else_from_its_header() -> None:
    header = [("Other", "no"), ("HEYGEN-EVENT-ID", "evt_header")]
    ids = []
    for raw_event in (event() | {"event_id": "evt_body"}, event()):
        delivery = read(raw_event, headers=iter(header)).delivery
        assert delivery is not None
        ids.append(delivery.event_id)
    assert ids == ["evt_body", "evt_header"]


def test_an_event_without_an_id_has_none() -> None:
    delivery = read(event()).delivery
    assert delivery is not None
    assert delivery.event_id is None


def test_authentic_body_that_is_no_object_is_stored() -> None:
    record = read_unusable(b"[]", [("Signature", HEX)], NOON, "main", "the body is not a JSON object")
    assert (record.outcome, record.observation) == (DeliveryOutcome.ERROR, None)
    assert record.delivery is not None
    assert (record.delivery.body, record.delivery.error) == (b"[]", "the body is not a JSON object")
    assert (record.delivery.signed_by, record.delivery.event_type) == ("main", None)


# Whatever comes

TYPES = st.sampled_from(["video_translate.success", "video_translate.fail", "batch.finished", "x.y"])
DATA = st.dictionaries(
    st.sampled_from(["video_translate_id", "id", "callback_id", "url", "message"]), json_values
)
events = st.fixed_dictionaries(
    {},
    optional={"event_type": TYPES | json_values, "event_data": DATA | json_values, "created_at": json_values},
)


@given(events, st.none() | st.just("main"))
def test_every_object_becomes_a_record_that_both_engines_can_store(
    raw_event: dict[str, Any], signed_by: str | None
) -> None:
    body = json.dumps(raw_event).encode()
    record = read_event(parse_json_object(body), body, [], NOON, signed_by)
    delivery = record.delivery
    assert delivery is not None
    assert delivery.body == body
    texts = [delivery.event_type, delivery.video_translate_id, delivery.callback_id, delivery.error]
    assert all("\x00" not in text and text.encode() for text in texts if text is not None)
    if record.observation is not None:
        assert record.observation.video_translate_id or record.observation.callback_id
        assert signed_by or is_a_mere_hint(record.observation)
    else:
        assert record.outcome in (DeliveryOutcome.ERROR, DeliveryOutcome.IGNORED, DeliveryOutcome.UNKNOWN)


# The event log


DATED = {**event(url=URL, callback_id="mine"), "created_at": 1795435200, "event_id": "e"}


@given(
    st.fixed_dictionaries(
        {
            "event_type": st.sampled_from(
                ["video_translate.success", "video_translate.fail", "batch.finished", None]
            )
        },
        optional={"event_data": json_values, "created_at": json_values},
    )
    | st.just(DATED)
)
def test_event_log_entry_reads_like_a_signed_webhook(raw_event: dict[str, Any]) -> None:
    record, logged = read(raw_event), read_logged(raw_event, NOON)
    if record.observation is None:
        assert logged is record.outcome
        return
    assert isinstance(logged, Observation)
    assert replace(logged, source=Source.WEBHOOK, occurred_at=None) == replace(
        record.observation, occurred_at=None
    )


def test_hints_from_the_event_log_have_a_time() -> None:
    logged = read_logged(event("batch.finished") | {"created_at": 1795435200}, NOON)
    assert isinstance(logged, Observation)
    assert (logged.hint, logged.occurred_at) == (True, NOON)
