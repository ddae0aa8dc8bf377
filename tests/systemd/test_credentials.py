"""LoadCredential=: each file of /etc/tracker/credentials is a setting, and is seen by the daemon alone."""

from contextlib import suppress

from .service import CREDENTIALS, KEY, SECRET, TrackerBox

NEW_SECRET = "whsec_of-the-next-day"
KNOWN = {  # what does stand there, so that it is the right text that is searched
    "journal": "tracker is up",
    "systemctl show": "ExecStart=",
    "environments": "CREDENTIALS_DIRECTORY=",
    "command lines": "tracker\0run",
}


def test_without_the_folder_systemd_refuses_and_goes_on_once_it_is_there(box: TrackerBox) -> None:
    box.shell(f"mv {CREDENTIALS} /srv/away")

    done = box.run("systemctl", "start", "tracker.service")

    assert done.returncode != 0
    assert box.show("ExecMainStatus") == "243"
    assert "status=243/CREDENTIALS" in box.run("systemctl", "status", "tracker").stdout
    box.shell(f"mv /srv/away {CREDENTIALS}")
    box.wait_for(lambda: box.show("ActiveState") == "active", why="the start after the folder is back")


def test_a_missing_api_key_and_a_file_that_is_no_setting_are_reported_and_stop_nothing(
    box: TrackerBox,
) -> None:
    box.shell(f"rm {CREDENTIALS}/heygen_api_key")
    box.credential("webhook_sekret", "misspelt")

    box.start()

    assert box.event("no API key: nothing is polled")["level"] == "warning"
    assert "polling paused" in box.status
    assert box.event("unknown setting")["name"] == "credential tracker_webhook_sekret"
    assert box.webhook("still-told").status == 200


def test_a_changed_secret_counts_after_a_restart(box: TrackerBox) -> None:
    box.start()
    box.credential("webhook_secret", NEW_SECRET)
    assert [box.webhook("before", secret).status for secret in (SECRET, NEW_SECRET)] == [200, 401]

    box.systemctl("restart", "tracker.service")

    assert [box.webhook("after", secret).status for secret in (SECRET, NEW_SECRET)] == [401, 200]


def test_no_secret_is_seen_outside_of_the_credentials(box: TrackerBox) -> None:
    box.configure(log_level="debug")
    box.start()
    assert box.webhook("seen").status == 200
    assert box.webhook("unsigned", "whsec_wrong").status == 401
    box.systemctl("reload", "tracker.service")
    seen = {
        "journal": "\n".join(str(record) for record in box.journal(None)),
        "systemctl show": box.systemctl("show", "tracker.service"),
        "environments": of_every_process(box, "environ"),
        "command lines": of_every_process(box, "cmdline"),
    }

    held = box.shell("cat /run/credentials/tracker.service/*").stdout
    for secret in (KEY, SECRET):
        assert [place for place, text in seen.items() if secret in text] == []
        assert secret in held
    assert {place: KNOWN[place] in text for place, text in seen.items()} == dict.fromkeys(KNOWN, True)


def of_every_process(box: TrackerBox, name: str) -> str:
    """What /proc says of each; a process may end before it is read."""
    texts = []
    for file in box.outside("/proc").glob(f"[0-9]*/{name}"):
        with suppress(FileNotFoundError, ProcessLookupError):
            texts.append(file.read_text(errors="replace"))
    return "\n".join(texts)
