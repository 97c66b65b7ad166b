import pytest

from harness.llm.wire.framing import Dechunker, Malformed, parse_head

BODY = b"5\r\nhello\r\n1;name=value\r\n!\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"


def test_chunks_cut_at_any_byte_give_the_same_body() -> None:
    for at in range(len(BODY) + 1):
        framing = Dechunker()
        assert framing.feed(BODY[:at]) + framing.feed(BODY[at:]) == b"hello!0123456789"
        assert framing.ended
    framing = Dechunker()
    assert b"".join(framing.feed(bytes([byte])) for byte in BODY) == b"hello!0123456789"


def test_a_body_has_not_ended_before_its_last_byte() -> None:
    for at in range(len(BODY)):
        framing = Dechunker()
        framing.feed(BODY[:at])
        assert not framing.ended


def test_a_read_of_exactly_one_chunk_and_one_that_only_looks_like_it() -> None:
    framing = Dechunker()
    assert framing.feed(b"3\r\nabc\r\n") == b"abc"
    assert framing.feed(b"3\r\na\r\n\r\n") == b"a\r\n"
    assert framing.feed(b"2\r\nab") == b"ab"
    assert framing.feed(b"\r\n0\r\n\r\n") == b""
    assert framing.ended


@pytest.mark.parametrize(
    "body", [b"xyz\r\n", b"-5\r\nhello", b"\r\n\r\n", b"3\r\nabcd\r\n", b"0x2\r\nab\r\n", b"1" * 9000]
)
def test_wrong_framing_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        Dechunker().feed(body)


def test_a_head_says_how_the_body_ends_and_whether_the_connection_stays() -> None:
    head = parse_head(
        b"HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked"
    )
    assert (head.status, head.chunked, head.length, head.keeps, head.streams) == (200, True, None, True, True)
    head = parse_head(b"HTTP/1.1 429 Too Many\r\nContent-Length: 12\r\nConnection: close\r\nRetry-After: 3")
    assert (head.status, head.length, head.keeps, head.retry_after) == (429, 12, False, "3")
    head = parse_head(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream")
    assert (head.chunked, head.length, head.keeps) == (False, None, False)
    assert parse_head(b"HTTP/1.1 204 No Content").length == 0


@pytest.mark.parametrize(
    "head", [b"SSH-2.0-OpenSSH", b"HTTP/2 200", b"HTTP/1.1 abc", b"", b"HTTP/1.1 200\r\nContent-Length: -1"]
)
def test_what_is_no_head_is_refused(head: bytes) -> None:
    with pytest.raises(Malformed):
        parse_head(head)
