"""`tracker add`: ids by argument or by standard input, all of them or none."""

import pytest

from .conftest import Program


def test_ids_are_tracked_and_a_second_time_known(tracker: Program) -> None:
    first = tracker("add", "abc-es", "abc-de", "--callback-id", "order-1", "--title", "Tour [1]")
    assert (first.code, first.err) == (0, "")
    assert first.out == "abc-es: now tracked\nabc-de: now tracked\n2 new, 0 known\n"
    assert tracker.tracked() == [("abc-es", "order-1", "Tour [1]"), ("abc-de", "order-1", "Tour [1]")]

    again = tracker("add", "abc-es", "abc-fr", "--json")
    assert [(row["video_translate_id"], row["status"], row["new"]) for row in again.json] == [
        ("abc-es", "pending", False),
        ("abc-fr", "pending", True),
    ]
    assert len(tracker.tracked()) == 3


def test_a_callback_id_alone_waits_for_its_translation(tracker: Program) -> None:
    ran = tracker("add", "--callback-id", "order-9", "--json")
    assert [(row["video_translate_id"], row["callback_id"], row["new"]) for row in ran.json] == [
        (None, "order-9", True)
    ]
    assert tracker("add", "--callback-id", "order-9").out.startswith("callback id order-9: known, pending")


@pytest.mark.parametrize(
    ("arguments", "text", "tracked"),
    [
        ((), "abc-es\n\n# a remark\n  abc-de  \r\n", [("abc-es", None, None), ("abc-de", None, None)]),
        (("-",), "\ufeffabc-es", [("abc-es", None, None)]),
        (
            (),
            'title,video_translate_id,callback_id\n"Tour, part 1",abc-es,order-1\n,abc-de,\n,,order-2\n',
            [("abc-es", "order-1", "Tour, part 1"), ("abc-de", None, None), (None, "order-2", None)],
        ),
        (
            (),
            'abc-es, order-1, "Tour, part 1"\nabc-de\n',
            [("abc-es", "order-1", "Tour, part 1"), ("abc-de", None, None)],
        ),
        (
            (),
            '{"video_translate_id": "abc-es", "title": "T"}\n{"callback_id": "order-2"}\n',
            [("abc-es", None, "T"), (None, "order-2", None)],
        ),
    ],
    ids=["plain", "dash", "csv-with-header", "csv", "json-lines"],
)
def test_standard_input_is_read_as_what_it_is(
    tracker: Program, arguments: tuple[str, ...], text: str, tracked: list[tuple[str | None, ...]]
) -> None:
    ran = tracker("add", *arguments, stdin=text)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith(f"{len(tracked)} new, 0 known\n")
    assert tracker.tracked() == tracked


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("good\nbad id\nalso good\nbad/id\n", ["line 2: 'bad id' is no", "line 4: 'bad/id' is no"]),
        ("good\na,b,c,d\n", ["line 2: has 4 columns"]),
        ("video_translate_id,name\nabc,x\n", ["line 1: unknown column 'name'"]),
        ("callback_id,title\n,lonely\n", ["line 2: name a video_translate_id or a callback_id"]),
        (
            '{"video_translate_id": "good"}\n{broken\n{"id": "x"}\n[]\n{"title": 5}\n',
            [
                "line 2: is not JSON",
                "line 3: unknown field 'id'",
                "line 4: is not an object",
                "line 5: is not an object",
            ],
        ),
        ("", ["standard input has no ids"]),
        (b"\xff\xfe", ["standard input is not UTF-8"]),
        ("\n".join(f"bad {number}" for number in range(30)), ["line 1:", "line 10:", "and 20 more"]),
    ],
    ids=["plain", "columns", "header", "nothing", "json-lines", "empty", "bytes", "many"],
)
def test_bad_lines_are_named_and_then_nothing_is_added(
    tracker: Program, text: str | bytes, told: list[str]
) -> None:
    ran = tracker("add", stdin=text)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert [words for words in told if words not in ran.err] == []
    assert not tracker.path.exists()


def test_a_json_array_is_read_too(tracker: Program) -> None:
    ran = tracker("add", stdin='[{"video_translate_id": "abc-es"},\n {"callback_id": "order-1"}]')
    assert (ran.code, tracker.tracked()) == (0, [("abc-es", None, None), (None, "order-1", None)])
    assert tracker("add", stdin="[1").code == 2
    assert "line 2: is not an object" in tracker("add", stdin='[{"video_translate_id": "x"}, 5]').err


def test_a_bad_id_is_refused(tracker: Program) -> None:
    ran = tracker("add", "good", "bad/id")
    assert (ran.code, ran.out) == (2, "")
    assert "'bad/id' is not a valid video_translate_id" in ran.err
    assert not tracker.path.exists()
