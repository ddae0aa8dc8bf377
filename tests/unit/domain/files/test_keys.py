"""Names of kept files: whatever the values are, a key is safe, and no two files get the same one."""

import re
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.builders import NOON, URL
from tracker.domain.files.keys import FileFields, KeyTemplate, extension_of
from tracker.domain.links import LinkKind

USUAL = "{finished_at:%Y/%m}/{title} [{video_translate_id}] {kind}.{extension}"
TEMPLATES = [
    USUAL,
    "{video_translate_id}/{kind}.{extension}",
    "{title}-{video_translate_id}-{output_language}-{kind}.{extension}",
    "{kind}{title}/{created_at}{callback_id}{input_language}/{video_translate_id}.{extension}",
    "{title}_{video_translate_id}.{output_language}{kind}.{extension}",
    "{title}._{video_translate_id} {kind}.{extension}",
    "{title}.{video_translate_id}/{kind}.{extension}",
]
FIELDS = FileFields(
    video_translate_id="7544c0b52ada44fda693a15b1181b5b4-es",
    kind=LinkKind.VIDEO,
    extension="mp4",
    finished_at=NOON,
    created_at=NOON - timedelta(days=1),
    title="A talk",
    output_language="Spanish (Spain)",
    callback_id="order-7",
)


def key(template: str = USUAL, **said: Any) -> str:
    return KeyTemplate.parse(template).key_of(replace(FIELDS, **said))


def stem(title: str | None) -> str:
    """What is left of a title that stands alone."""
    return key("{title}/{video_translate_id}-{kind}.{extension}", title=title).split("/")[0]


def test_a_key_reads_like_its_template() -> None:
    assert key() == "2026/11/A talk [7544c0b52ada44fda693a15b1181b5b4-es] video.mp4"
    every = "{title},{output_language},{input_language},{callback_id},{created_at}/{{{video_translate_id}}}"
    assert key(every + "/{kind}.{extension}") == (
        "A talk,Spanish (Spain),unknown,order-7,2026-11-22/{7544c0b52ada44fda693a15b1181b5b4-es}/video.mp4"
    )


def test_braces_are_written_twice() -> None:
    assert key("{{a}} b/{video_translate_id}/{kind}.{extension}").startswith("{a} b/7544")


def test_times_are_utc() -> None:
    late = datetime(2027, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    template = "{finished_at:%Y-%m-%d %Hh%M}/{video_translate_id}/{kind}.{extension}"
    assert key(template, finished_at=late).startswith("2026-12-31 23h30/")
    assert key(template, finished_at=datetime(7, 1, 1, tzinfo=UTC)).startswith("0007-01-01 00h00/")


def test_what_is_left_of_a_title() -> None:
    for title, left in [
        (None, "untitled"),
        ("", "untitled"),
        (" .. - ", "untitled"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..\\..\\boot.ini", "_.._boot.ini"),
        ("-rf", "rf"),
        (".ssh", "ssh"),
        ("~/x", "__x"),
        ("end. . ", "end"),
        ("two\nlines\tand\u2028more", "two lines and more"),
        ("nul\0, bell\a, escape\x1b[31m", "nul, bell, escape[31m"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("zero\u200bwidth \ufeffbom", "zerowidth bom"),
        ("lone \ud800 half", "lone half"),
        ('a:b*c?d"e<f>g|h', "a_b_c_d_e_f_g_h"),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
        ("\u0301accent", "accent"),
        ("CON", "CON~"),
        ("nul.txt", "nul~.txt"),
        ("Com1 .mp4", "Com1 ~.mp4"),
        ("LPT\u00b9", "LPT\u00b9~"),
        ("CONIN$", "CONIN$~"),
        ("COM10", "COM10"),
        ("console", "console"),
        ("{kind} {0.__class__}", "{kind} {0.__class__}"),
        ("日本語のタイトル", "日本語のタイトル"),
    ]:
        assert stem(title) == left


def test_long_values_are_cut_at_a_character_and_the_extension_stays() -> None:
    found = key(title="字" * 5000)
    name = found.rpartition("/")[2]
    assert name.endswith("字 [7544c0b52ada44fda693a15b1181b5b4-es] video.mp4")
    assert 200 < len(name.encode()) <= 255  # room is kept for the longest id and kind


def test_a_short_value_is_not_cut_for_a_long_one() -> None:
    found = key("{title}, {output_language}/{video_translate_id}-{kind}.{extension}", title="t" * 5000)
    assert found.split("/")[0].endswith("ttt, Spanish (Spain)")


def test_what_a_cut_leaves_does_not_end_in_a_dot_or_a_space() -> None:
    for length in range(220, 260):
        assert stem("t" * length + ". ." + "t" * 300)[-1] == "t"


def test_what_stands_beside_the_id_is_replaced_in_all_else() -> None:
    assert key(title="Part [2]").endswith("/Part _2_ [7544c0b52ada44fda693a15b1181b5b4-es] video.mp4")
    template = "{title}_{video_translate_id}/{kind}.{extension}"
    assert key(template, title="x_a", video_translate_id="b") == "x-a_b/video.mp4"
    assert key(template, title="x", video_translate_id="a_b") == "x_a_b/video.mp4"


def test_what_is_put_in_their_place_stands_not_beside_the_id() -> None:
    template = "{title}_{video_translate_id}+{title}/{kind}.{extension}"
    assert key(template, title="a_b+c", video_translate_id="i") == "a-b-c_i+a-b-c/video.mp4"


def test_an_id_that_cannot_stay_gets_a_digest() -> None:
    for video_translate_id, shown in [
        ("-es", "es~"),
        ("__", "id~"),
        ("con", "con~"),
        ("a" * 65, "a" * 40 + "~"),
        ("../x", "x~"),
        ("é\ud800", "id~"),
    ]:
        found = key("{video_translate_id}/{kind}.{extension}", video_translate_id=video_translate_id)
        assert re.fullmatch(re.escape(shown) + "[0-9a-f]{16}/video.mp4", found)


def test_a_template_that_will_not_do() -> None:
    for template, said in [
        (7, "is no text"),
        ("", "part that is empty"),
        ("{title}.{extension}", "has no {video_translate_id}"),
        ("{video_translate_id}.{extension}", "has no {kind}"),
        ("{video_translate_id}-{kind}", "does not end in .{extension}"),
        ("{video_translate_id}-{kind}{extension}", "does not end in .{extension}"),
        ("{video_translate_id}-{kind}.{extension}x", "does not end in .{extension}"),
        ("{title}{video_translate_id}-{kind}.{extension}", "has {title}: beside"),
        ("{video_translate_id}{kind}.{extension}", "has {kind}: beside"),
        ("x{video_translate_id}-{kind}.{extension}", "has x: beside"),
        ("{video_translate_id}é{kind}.{extension}", "has é: beside"),
        ("{video_translate_id}-{title}-{video_translate_id}-{kind}.{extension}", "twice in one part"),
        ("/{video_translate_id}-{kind}.{extension}", "part that is empty"),
        ("a//{video_translate_id}-{kind}.{extension}", "part that is empty"),
        ("../{video_translate_id}-{kind}.{extension}", "begins with ."),
        ("-a/{video_translate_id}-{kind}.{extension}", "begins with . -"),
        ("a /{video_translate_id}-{kind}.{extension}", "ends in . or a space"),
        ("a\\{video_translate_id}-{kind}.{extension}", "signs that file names should not have"),
        ("a\n-{video_translate_id}-{kind}.{extension}", "signs that file names should not have"),
        ("~{video_translate_id}-{kind}.{extension}", "signs that file names should not have"),
        ("{video_translate_id}-\u202e{kind}.{extension}", "signs that file names should not have"),
        ("{title}\u0301/{video_translate_id}-{kind}.{extension}", "signs that file names should not have"),
        ("{tittle}-{video_translate_id}-{kind}.{extension}", "names {tittle}, and there are only title, "),
        ("{}-{video_translate_id}-{kind}.{extension}", "names {}, and there are only title, "),
        ("{title.__class__}-{video_translate_id}-{kind}.{extension}", "names {title.__class__}"),
        ("{title!r}-{video_translate_id}-{kind}.{extension}", "has something behind title"),
        ("{title:>9}-{video_translate_id}-{kind}.{extension}", "has something behind title"),
        ("{finished_at:%A}-{video_translate_id}-{kind}.{extension}", "has %A in {finished_at}"),
        ("{finished_at:%}-{video_translate_id}-{kind}.{extension}", "has % in {finished_at}"),
        ("{title-{video_translate_id}-{kind}.{extension}", "is no template: "),
        ("x" * 200 + "{video_translate_id}-{kind}.{extension}", "beside {video_translate_id}"),
        ("x" * 200 + "-{video_translate_id}-{kind}.{extension}", "is too long"),
        ("a/" * 12 + "{video_translate_id}-{kind}.{extension}", "is too long, or has too many parts"),
    ]:
        with pytest.raises(ValueError, match=re.escape(said)):
            KeyTemplate.parse(template)


def test_a_template_reads_as_it_was_written() -> None:
    assert str(KeyTemplate.parse(USUAL)) == USUAL
    assert KeyTemplate.parse(USUAL) == KeyTemplate.parse(USUAL)


def test_the_extension_is_the_links_where_such_a_file_can_have_it() -> None:
    for url, kind, extension in [
        (f"{URL}?Expires=1&name=x.exe", LinkKind.VIDEO, "mp4"),
        ("https://resource2.heygen.ai/x/audio.WAV", LinkKind.AUDIO, "wav"),
        ("https://resource2.heygen.ai/x/audio", LinkKind.AUDIO, "mp3"),
        ("https://resource2.heygen.ai/x/a.mp4/../../b.sh", LinkKind.VIDEO, "mp4"),
        ("https://resource2.heygen.ai/x/caption.ass", LinkKind.CAPTIONS, "ass"),
        ("https://resource2.heygen.ai/x/caption.html", LinkKind.SRT, "srt"),
        ("https://[broken", LinkKind.VTT, "vtt"),
    ]:
        assert extension_of(url, kind) == extension


# Whatever the values are

ODD = st.text(
    alphabet=st.sampled_from("ab-_.[] ~/\\\0\u202e\u0301é字\u1100\u1161¹CONcon1\ud800"), max_size=12
)
TEXTS = st.none() | st.text(max_size=400) | ODD
IDS = st.text(alphabet=st.sampled_from("ab-_C0"), min_size=1, max_size=6) | st.from_regex(
    r"[A-Za-z0-9_-]{1,255}", fullmatch=True
)
VALUES = st.builds(
    FileFields,
    video_translate_id=IDS,
    kind=st.sampled_from(LinkKind),
    extension=st.just("mp4"),
    finished_at=st.datetimes(timezones=st.just(UTC)),
    created_at=st.just(NOON),
    title=TEXTS,
    output_language=TEXTS,
    input_language=TEXTS,
    callback_id=TEXTS,
)
RESERVED = {"con", "prn", "aux", "nul"} | {f"{a}{b}" for a, b in product(("com", "lpt"), "0123456789¹²³")}


@given(st.sampled_from(TEMPLATES), VALUES)
@example(TEMPLATES[2], replace(FIELDS, title="字" * 400, output_language="\U0001f600" * 400))
def test_every_key_is_safe(template: str, fields: FileFields) -> None:
    found = KeyTemplate.parse(template).key_of(fields)

    assert len(found.encode()) <= 1000
    assert unicodedata.normalize("NFC", found) == found
    assert found.endswith(".mp4")
    assert len(found.split("/")) == len(template.replace("%Y/%m", "%Y%m").split("/")) + ("%Y/%m" in template)
    for part in found.split("/"):
        assert 0 < len(part.encode()) <= 255
        assert part[0] not in " .-"
        assert part[-1] not in " ."
        assert part.split(".")[0].rstrip(" ").lower() not in RESERVED
        assert not set(part) & set('\\:*?"<>|')
        assert not {sign for sign in part if unicodedata.category(sign)[0] == "C"}


@given(st.sampled_from(TEMPLATES), VALUES, VALUES)
@example(
    TEMPLATES[2],
    replace(FIELDS, title="x-a", video_translate_id="b"),
    replace(FIELDS, title="x", video_translate_id="a-b"),
)
@example(TEMPLATES[1], replace(FIELDS, video_translate_id="-a"), replace(FIELDS, video_translate_id="a"))
def test_no_two_files_get_one_key(template: str, one: FileFields, other: FileFields) -> None:
    assume((one.video_translate_id, one.kind) != (other.video_translate_id, other.kind))
    parsed = KeyTemplate.parse(template)
    assert parsed.key_of(one) != parsed.key_of(other)


@given(st.sampled_from(TEMPLATES), VALUES, st.sampled_from(LinkKind))
def test_the_files_of_one_translation_get_keys_of_their_own(
    template: str, fields: FileFields, kind: LinkKind
) -> None:
    assume(kind != fields.kind)
    parsed = KeyTemplate.parse(template)
    assert parsed.key_of(fields) != parsed.key_of(replace(fields, kind=kind))


@given(st.text(alphabet=st.sampled_from("ab/.-_ {}:%Ym[]"), max_size=40) | st.text(max_size=60))
def test_any_template_is_refused_or_works(text: str) -> None:
    for whole in (text, f"{text}/{{video_translate_id}}-{{kind}}.{{extension}}"):
        try:
            parsed = KeyTemplate.parse(whole)
        except ValueError:
            continue
        assert parsed.key_of(FIELDS).endswith(".mp4")
