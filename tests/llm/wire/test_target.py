import pytest

from harness.errors import ConfigError
from harness.llm.wire.target import Target


def test_a_base_url_is_taken_apart_and_put_together() -> None:
    target = Target.of("http://127.0.0.1:8080/v1/")
    assert (target.host, target.port, target.prefix, target.plain) == ("127.0.0.1", 8080, "/v1", True)
    assert target.url == "http://127.0.0.1:8080/v1"
    assert Target.of("https://example.org/v1").authority == "example.org"
    assert Target.of("http://[::1]:80").authority == "[::1]"


def test_encryption_and_proxies_are_not_for_raw_sockets() -> None:
    assert not Target.of("https://example.org/v1").plain
    assert not Target.of("http://example.org/v1", proxy="http://proxy:3128").plain


def test_the_key_comes_from_the_variable_of_that_name_and_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret-value")
    target = Target.of("http://h/v1", api_key_env="A_KEY", proxy="http://user:secret-value@proxy")
    assert b"Authorization: Bearer secret-value\r\n" in target.head("/models", 0)
    assert "secret-value" not in repr(target)
    assert target.missing_key is None


def test_a_variable_that_is_not_set_sends_no_key_and_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    target = Target.of("http://h/v1", api_key_env="A_KEY")
    assert b"Authorization" not in target.head("/models", 0)
    assert target.missing_key == "A_KEY"


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://h/", "http://", "http://h:port/", "http://me:pw@h/"])
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Target.of(url)
    assert "pw" not in str(refused.value)


def test_a_header_cannot_smuggle_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="line break"):
        Target.of("http://h", headers={"X": "a\r\nHost: other"})
    monkeypatch.setenv("A_KEY", "a\nb")
    with pytest.raises(ConfigError, match="line break"):
        Target.of("http://h", api_key_env="A_KEY")


def test_a_head_holds_what_http_wants() -> None:
    head = Target.of("http://h:81/v1").head("/chat/completions", 17)
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: h:81\r\n")
    assert head.endswith(b"Content-Length: 17\r\n\r\n")
