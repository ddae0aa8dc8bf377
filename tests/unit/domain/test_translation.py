"""Ids, and when a translation began."""

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import ID, NOON, after, translation
from tracker.domain.translation import UNSTORABLE, is_video_translate_id


def test_an_id_is_what_heygen_can_have_given_out() -> None:
    for good in [ID, "7544c0b52ada44fda693a15b1181b5b4", "a", "-", "_", "A-Z_9", "x" * 255]:
        assert is_video_translate_id(good)


def test_nothing_else_is_an_id() -> None:
    for bad in [
        *("", "x" * 256, "x" * 300),
        *("a/b", "..", "a.b", "a b", " a", "a\n", "a'b", 'a"b', "a;b", "a%2Fb"),
        *("é", "٣", "a\x00", "\ud800"),
    ]:
        assert not is_video_translate_id(bad)


@given(st.text())
def test_an_id_needs_no_encoding_anywhere(text: str) -> None:
    plain = text.isascii() and all(letter.isalnum() or letter in "-_" for letter in text)
    assert is_video_translate_id(text) is (plain and 1 <= len(text) <= 255)


def test_it_began_when_heygen_says_so_else_when_it_was_first_tracked() -> None:
    assert translation().started_at == NOON
    assert translation(provider_created_at=after(-600)).started_at == after(-600)
    assert translation(provider_created_at=after(600)).started_at == NOON


def test_nul_and_lone_surrogates_cannot_be_stored_and_other_text_can() -> None:
    assert UNSTORABLE.search("a\x00b")
    assert UNSTORABLE.search("\ud800")
    assert UNSTORABLE.search("\udfff")
    assert not UNSTORABLE.search("ä\u4e2d\U0001f600\n\t\x01")
