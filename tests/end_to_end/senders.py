"""HeyGen's side of a burst: signed webhooks from a few threads, each answer remembered."""

import json
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue

import httpx

from tracker.simulator.delivery import sign
from tracker.simulator.truth import TranslationTruth

from .processes import SECRET


def event_of(truth: TranslationTruth) -> bytes:
    """The webhook that tells how this translation ended."""
    told = (
        {"url": f"https://resource2.heygen.ai/video_translate/{truth.video_translate_id}/original.mp4"}
        if truth.outcome == "success"
        else {"message": truth.message}
    )
    data = {"video_translate_id": truth.video_translate_id, **told, "output_language": truth.output_language}
    return json.dumps({"event_type": f"video_translate.{_word(truth)}", "event_data": data}).encode()


def _word(truth: TranslationTruth) -> str:
    return "success" if truth.outcome == "success" else "fail"


class Burst:
    """Sends each event once, and knows which were answered 2xx."""

    def __init__(self, url: str, events: Sequence[bytes], threads: int = 4) -> None:
        self._url = url
        self._left: SimpleQueue[bytes] = SimpleQueue()
        for event in events:
            self._left.put(event)
        self._heard = threading.Condition()
        self.stored: list[bytes] = []
        self.refused: list[tuple[bytes, int | None]] = []  # with the HTTP status, None without an answer
        self._threads = [threading.Thread(target=self._send_all) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def until_stored(self, count: int) -> None:
        """Wait until so many were answered 2xx."""
        with self._heard:
            assert self._heard.wait_for(lambda: len(self.stored) >= count, timeout=20), len(self.stored)

    def end(self) -> None:
        """Wait for the last answer, or its absence."""
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _send_all(self) -> None:
        with httpx.Client(trust_env=False, timeout=10.0) as http:
            while True:
                try:
                    body = self._left.get_nowait()
                except Empty:
                    return
                self._note(body, self._send(http, body))

    def _send(self, http: httpx.Client, body: bytes) -> int | None:
        headers = {"Content-Type": "application/json", "Signature": sign(body, SECRET)}
        try:
            return http.post(self._url, content=body, headers=headers).status_code
        except httpx.HTTPError:
            return None

    def _note(self, body: bytes, code: int | None) -> None:
        with self._heard:
            if code is not None and 200 <= code < 300:
                self.stored.append(body)
            else:
                self.refused.append((body, code))
            self._heard.notify_all()
