from harness.llm.wire.events import Event, EventReader

STREAM = (
    b': keep-alive\n\ndata: {"a": 1}\n\nevent: error\r\ndata: {\r\ndata: }\r\n\r\nid: 7\nretry: 10\n\ndata: [DONE]\n\n'
)
EVENTS = [(b'{"a": 1}', b""), (b"{\n}", b"error"), (b"[DONE]", b"")]


def read(*parts: bytes) -> list[tuple[bytes, bytes]]:
    events, found = EventReader(), list[Event]()
    for number, part in enumerate(parts):
        found += events.feed(part, number)
    found += events.flush(len(parts))
    return [(event.data, event.name) for event in found]


def test_comments_ids_and_blank_lines_are_no_events() -> None:
    assert read(STREAM) == EVENTS


def test_a_stream_cut_at_any_byte_gives_the_same_events() -> None:
    for at in range(len(STREAM)):
        assert read(STREAM[:at], STREAM[at:]) == EVENTS
    assert read(*(bytes([byte]) for byte in STREAM)) == EVENTS


def test_an_event_belongs_to_the_read_in_which_its_data_ended() -> None:
    events = EventReader()
    assert events.feed(b'data: {"a"', 0) == []
    assert events.feed(b": 1}\n", 1) == []
    assert events.feed(b"\ndata: {}\n\n", 2) == [Event(b'{"a": 1}', b"", 1), Event(b"{}", b"", 2)]


def test_a_missing_last_blank_line_is_forgiven() -> None:
    assert read(b"data: [DONE]") == [(b"[DONE]", b"")]


def test_an_error_line_of_older_servers_is_an_event() -> None:
    assert read(b'error: {"code": 500}\n\n') == [(b'{"error":{"code": 500}}', b"")]


def test_the_space_behind_the_colon_may_be_missing() -> None:
    assert read(b"data:{}\n\n") == [(b"{}", b"")]
