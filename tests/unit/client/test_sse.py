"""The parser of event streams: the standard's own examples, and bytes that come in any pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from helix_ray.client.sse import Parser, StreamMessage

LINE_ENDS = st.sampled_from(["\n", "\r", "\r\n"])
# Characters that other line splitters take for line ends, and some of several bytes.
TEXT = st.text(st.sampled_from("ab: \0\x0b\x0c\x1c\x85\u2028\u2029\ufeffé…😀"), max_size=8)
NAMES = st.sampled_from(["data", "event", "id", "retry", "Data", ""])
COLONS = st.sampled_from([":", ": ", ":  ", ""])
VALUES = st.one_of(TEXT, st.sampled_from(["7", "007", "-7", "٣"]))
LINES = st.one_of(st.just(""), TEXT, st.builds("{}{}{}".format, NAMES, COLONS, VALUES))
STREAMS = st.lists(st.tuples(LINES, LINE_ENDS)).map(lambda pairs: "".join(a + b for a, b in pairs))


def read(*pieces: bytes) -> tuple[list[StreamMessage], str, int | None]:
    """Return what a parser makes of pieces: the messages, the last id and the wait."""
    parser = Parser()
    found = [message for piece in pieces for message in parser.feed(piece)]
    return found, parser.last_id, parser.retry_ms


def by_the_book(stream: str) -> tuple[list[StreamMessage], str, int | None]:
    """Return what the standard says of a whole stream, step by step."""
    stream = stream.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found: list[StreamMessage] = []
    data = event = identifier = last = ""
    wait = None
    for line in stream.split("\n")[:-1]:
        name, colon, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if line == "":
            last = identifier
            if data:
                found.append(StreamMessage(event or "message", data[:-1], last))
            data = event = ""
        elif name == "" and colon:
            continue
        elif name == "event":
            event = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            identifier = value
        elif name == "retry" and value and set(value) <= set("0123456789"):
            wait = int(value)
    return found, last, wait


@given(STREAMS, st.booleans(), st.lists(st.integers(0, 400)))
def test_any_stream_in_any_pieces(stream: str, marked: bool, cuts: list[int]) -> None:
    """It is read as the standard says, also where a piece ends inside of a character or a line end."""
    whole = ("\ufeff" if marked else "") + stream
    sent = whole.encode()
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    pieces = [sent[a:b] for a, b in pairwise(places)]
    assert read(*pieces) == by_the_book(whole)
    assert read(*(sent[i : i + 1] for i in range(len(sent)))) == by_the_book(whole)


def test_the_examples_of_the_standard() -> None:
    """Data of several lines, empty data, comments, and a space that belongs to the value."""
    assert read(b"data: YHOO\ndata: +2\ndata: 10\n\n")[0] == [StreamMessage("message", "YHOO\n+2\n10", "")]
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert read(stream)[0] == [
        StreamMessage("message", "first event", "1"),
        StreamMessage("message", "second event", ""),
        StreamMessage("message", " third event", ""),
    ]
    assert read(b"data\n\ndata\ndata\n\ndata:")[0] == [
        StreamMessage("message", "", ""),
        StreamMessage("message", "\n", ""),
    ]
    assert read(b"data:test\n\ndata: test\n\n")[0] == [StreamMessage("message", "test", "")] * 2


def test_what_is_halfway_is_neither_told_nor_remembered() -> None:
    """An id counts from the end of its message on: what was cut off must come again."""
    parser = Parser("3")
    assert list(parser.feed(b"id: 4\ndata: a\n\nid: 5\ndata: b\n")) == [StreamMessage("message", "a", "4")]
    assert parser.last_id == "4"


def test_an_id_with_a_nul_is_ignored_and_a_wait_has_digits_only() -> None:
    """As the standard says; other fields are ignored, too."""
    assert read(b"id: 1\0\nretry: 5s\nretry:\nretries: 3\ndata: x\n\n") == (
        [StreamMessage("message", "x", "")],
        "",
        None,
    )
    assert read(b"id: 1\nretry: 1500\n\n") == ([], "1", 1500)
