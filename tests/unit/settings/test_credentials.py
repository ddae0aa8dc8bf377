"""systemd's credentials: files of $CREDENTIALS_DIRECTORY, with or without `tracker_` before their names."""

from pathlib import Path

import pytest

from tracker.errors import SettingsError
from tracker.settings import Loaded, Settings, load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    return folder


def loaded(folder: Path, **environ: str) -> Loaded:
    return load(environ={"CREDENTIALS_DIRECTORY": str(folder), **environ})


def api_key(found: Loaded) -> str | None:
    key = found.settings.heygen_api_key
    return key.get_secret_value() if key else None


@pytest.mark.parametrize("name", ["heygen_api_key", "tracker_heygen_api_key"])
def test_a_credential_is_named_like_its_setting_with_or_without_the_program(folder: Path, name: str) -> None:
    (folder / name).write_text("key\n")

    found = loaded(folder)

    assert (api_key(found), found.origins) == ("key", {"heygen_api_key": "credential"})
    assert (found.unknown, found.empty) == ((), ())


def test_the_one_with_the_program_s_name_wins(folder: Path) -> None:
    (folder / "heygen_api_key").write_text("of somebody")
    (folder / "tracker_heygen_api_key").write_text("ours")

    assert api_key(loaded(folder)) == "ours"


def test_any_setting_may_be_a_credential(folder: Path) -> None:
    for name, field in Settings.model_fields.items():
        example = (field.examples or [""])[0].partition(" or ")[0]
        credential = folder / f"tracker_{name}"
        credential.write_text(f"{example}\n")

        assert loaded(folder).origins == {name: "credential"}
        credential.unlink()


def test_unknown_names_of_ours_are_reported_and_those_of_others_are_not(folder: Path) -> None:
    (folder / "tracker_heygen_apikey").write_bytes(b"\xff\xfe")
    (folder / "tls.key").write_bytes(b"\xff\xfe")
    (folder / "tracker_folder").mkdir()

    found = loaded(folder)

    assert found.unknown == ("credential tracker_heygen_apikey",)
    assert found.origins == {}


@pytest.mark.parametrize("text", ["", "\n", " \n\n"])
def test_an_empty_file_counts_as_not_set_and_is_told(folder: Path, text: str) -> None:
    (folder / "tracker_heygen_api_key").write_text(text)

    found = loaded(folder)

    assert (api_key(found), found.origins, found.empty) == (None, {}, ("tracker_heygen_api_key",))


def test_what_lies_below_an_empty_file_holds(folder: Path) -> None:
    config = folder.parent / "tracker.toml"
    config.write_text("rate_limit = 7\n")
    (folder / "tracker_rate_limit").write_text("")
    (folder / "heygen_api_key").write_text("plain")
    (folder / "tracker_heygen_api_key").write_text("")

    found = load(config, {"CREDENTIALS_DIRECTORY": str(folder)})

    assert (found.settings.rate_limit, found.origins["rate_limit"]) == (7, str(config))
    assert api_key(found) == "plain"
    assert found.empty == ("tracker_heygen_api_key", "tracker_rate_limit")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"whsec_\x00", b"\xed\xa0\x80"])
def test_one_that_is_no_text_is_named_and_not_shown(folder: Path, content: bytes) -> None:
    (folder / "tracker_webhook_secret").write_bytes(content)

    with pytest.raises(SettingsError) as refused:
        loaded(folder)

    path = folder / "tracker_webhook_secret"
    assert str(refused.value) == (
        f"TRACKER_WEBHOOK_SECRET: the credential {path} is not text; example: whsec_..."
    )


def test_a_folder_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"the credentials in .*/none cannot be read: No such file"):
        loaded(folder / "none")


def test_a_wrong_value_of_a_credential_is_told_like_any_other(folder: Path) -> None:
    (folder / "tracker_rate_limit").write_text("many\n")

    with pytest.raises(SettingsError, match=r"^TRACKER_RATE_LIMIT: input should be a valid number"):
        loaded(folder)
