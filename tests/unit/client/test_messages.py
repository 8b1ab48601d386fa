"""Streams of messages, in whatever pieces they come."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.client.messages import Message, Messages

STREAM = ': hello\n\nid: 1\nevent: RunTriggered\ndata: {"a":\ndata:  "ö"}\n\n:\r\n\r\ndata: last\r\n\r\ndata: '.encode()
FOUND = [
    Message("", ""),
    Message("RunTriggered", '{"a":\n "ö"}', "1"),
    Message("", ""),
    Message("", "last"),
]


def read(*chunks: bytes) -> list[Message]:
    messages = Messages()
    return [message for chunk in chunks for message in messages.feed(chunk)]


def test_a_stream_in_one_piece() -> None:
    assert read(STREAM) == FOUND


@given(st.lists(st.integers(0, len(STREAM))))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    assert read(*(STREAM[begin:end] for begin, end in pairwise(places))) == FOUND


def test_fields_we_do_not_know_are_passed_over() -> None:
    assert read(b"retry: 3000\nwhat: ever\nalone\ndata:x\n\n") == [Message("", "x")]
