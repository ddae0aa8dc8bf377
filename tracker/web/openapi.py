"""The admin API's OpenAPI document."""

from typing import Any

TIMES = (
    "caption_url_expires_at", "audio_url_expires_at", "srt_url_expires_at", "vtt_url_expires_at",
    "renew_links_at", "url_fetched_at", "url_expires_at", "attention_since", "next_poll_at", "last_polled_at",
    "failing_since",
    "claimed_until", "provider_created_at", "created_at", "updated_at", "finished_at",
)  # fmt: skip
TEXTS = (
    "video_translate_id", "callback_id", "title", "output_language", "url", "message", "caption_url",
    "provider_status", "api_version", "input_language", "audio_url", "srt_url", "vtt_url", "attention",
    "last_error", "claimed_by",
)  # fmt: skip


def openapi() -> dict[str, Any]:
    """The document, version 3.1."""
    one = [_parameter("video_translate_id", "path", {"type": "string"})]
    page = [
        _parameter(
            "status", "query", {"type": "string", "enum": ["pending", "running", "success", "failed"]}
        ),
        _parameter("attention", "query", {"type": "string"}),
        _parameter("callback_id", "query", {"type": "string"}),
        _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
        _parameter("after", "query", {"type": "integer", "minimum": 0, "default": 0}),
    ]
    body = {"required": True, **_content({"anyOf": [_ref("New"), {"type": "array", "items": _ref("New")}]})}
    added = {"anyOf": [_ref("Translation"), _ref("Items")]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "tracker admin API", "version": "1"},
        "paths": {
            "/api/translations": {
                "get": {"summary": "Translations by id", "parameters": page, **_answers({200: _ref("Page")})},
                "post": {
                    "summary": "Start tracking",
                    "requestBody": body,
                    **_answers({200: added, 201: added}),
                },
            },
            "/api/translations/{video_translate_id}": {
                "get": {
                    "summary": "One translation",
                    "parameters": one,
                    **_answers({200: _ref("Translation")}),
                }
            },
            "/api/translations/{video_translate_id}/poll": {
                "post": {"summary": "Poll it now", "parameters": one, **_answers({202: _ref("Translation")})}
            },
            "/api/translations/{video_translate_id}/video": {
                "get": {
                    "summary": "A link to one of its files that is good for an hour at least",
                    "parameters": [*one, _parameter("kind", "query", _kinds())],
                    "responses": {"302": _redirect(), **_answers({})["responses"]},
                }
            },
            "/api/news": {
                "get": {
                    "summary": "Server-sent events: `change` says that one was stored, and to look again",
                    "description": "The first says that from now on nothing is missed. Changes that are "
                    "stored together may be one event. Lines that begin with a colon keep the connection.",
                    **_answers({200: {"type": "string"}, 503: _ref("Error")}, {200: "text/event-stream"}),
                }
            },
            "/healthz": {"get": {"summary": "The process lives", **_answers({200: {"type": "object"}})}},
            "/readyz": {
                "get": {
                    "summary": "Database, schema and poller work",
                    **_answers({200: {"type": "object"}, 503: {"type": "object"}}),
                }
            },
        },
        "components": {"schemas": _schemas()},
    }


def _schemas() -> dict[str, Any]:
    nullable = {"type": ["string", "null"]}
    rows = {"type": "array", "items": _ref("Translation")}
    fields: dict[str, Any] = dict.fromkeys(TEXTS, nullable)
    fields |= {name: {**nullable, "format": "date-time"} for name in TIMES}
    fields |= {
        "id": {"type": "integer"},
        "status": {"type": "string", "enum": ["pending", "running", "success", "failed"]},
        "duration_seconds": {"type": ["number", "null"]},
        "submission_id": {"type": ["integer", "null"]},
        "poll_count": {"type": "integer"},
        "poll_failures": {"type": "integer"},
        "changes": {"type": "array", "items": {"type": "object"}, "description": "only when one is shown"},
    }
    new = dict.fromkeys(("video_translate_id", "callback_id", "title"), nullable)
    return {
        "Translation": {"type": "object", "required": ["id", "status"], "properties": fields},
        "New": {"type": "object", "properties": new, "additionalProperties": False},
        "Items": {"type": "object", "required": ["items"], "properties": {"items": rows}},
        "Page": {
            "type": "object",
            "required": ["items", "next"],
            "properties": {"items": rows, "next": {"type": ["integer", "null"]}},
        },
        "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    }


def _answers(schemas: dict[int, Any], kinds: dict[int, str] | None = None) -> dict[str, Any]:
    """`kinds`: the content types of what is no JSON."""
    good = {
        str(code): {
            "description": "as asked" if code < 400 else "not now",
            **_content(schema, (kinds or {}).get(code, "application/json")),
        }
        for code, schema in schemas.items()
    }
    return {"responses": {**good, "default": {"description": "refused", **_content(_ref("Error"))}}}


def _kinds() -> dict[str, Any]:
    return {"type": "string", "enum": ["video", "audio", "captions", "srt", "vtt"], "default": "video"}


def _redirect() -> dict[str, Any]:
    where = {"description": "the file", "schema": {"type": "string", "format": "uri"}}
    return {"description": "as asked", "headers": {"Location": where}}


def _content(schema: Any, kind: str = "application/json") -> dict[str, Any]:
    return {"content": {kind: {"schema": schema}}}


def _parameter(name: str, where: str, schema: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": schema}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
