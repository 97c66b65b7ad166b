"""Where requests go: a base URL taken apart, the headers of every request, and whether raw sockets can reach it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import urlsplit

from harness.errors import ConfigError, Problem

_PORTS = {"http": 80, "https": 443}
_FORBIDDEN = ("\r", "\n", "\0")  # would end a header early


@dataclass(frozen=True)
class Target:
    """A server; its headers may hold a key and are left out of what is printed."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    prefix: str  # of every path, without a slash at its end
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    proxy: str | None = field(default=None, repr=False)  # its URL may hold a password
    missing_key: str | None = None  # the variable that was to hold the key and is not set

    @classmethod
    def of(
        cls,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        api_key_env: str | None = None,
        proxy: str | None = None,
    ) -> "Target":
        """Reads a URL such as `http://127.0.0.1:8080/v1`; the key comes from the environment variable of that name.

        A variable that is not set sends no key, which a local server does not ask for; a server that does is answered
        by a failure that names the variable.

        Raises:
            ConfigError: it is no http or https URL, or a header holds a line break.
        """
        scheme, host, port, prefix = _take_apart(base_url)
        sent = dict(headers or {})
        key = os.environ.get(api_key_env) if api_key_env else None
        if key:
            sent["Authorization"] = f"Bearer {key}"
        for name, value in sent.items():
            if any(sign in f"{name}{value}" for sign in _FORBIDDEN):
                raise ConfigError([Problem("headers", f"the header {name!r} holds a line break")])
        missing = api_key_env if api_key_env and not key else None
        return cls(cast(Literal["http", "https"], scheme), host, port, prefix, tuple(sent.items()), proxy, missing)

    @property
    def plain(self) -> bool:
        """Whether raw sockets reach it: neither encrypted nor behind a proxy."""
        return self.scheme == "http" and self.proxy is None

    @property
    def authority(self) -> str:
        """Host and port as the Host header wants them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL again, without a user's name or password."""
        return f"{self.scheme}://{self.authority}{self.prefix}"

    def all_headers(self) -> dict[str, str]:
        """The headers of a request with a body, without its length."""
        return {
            "Host": self.authority,
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",  # a compressed stream would come in blocks of its own
            "User-Agent": "harness",
            **dict(self.headers),
        }

    def head(self, path: str, length: int, method: str = "POST") -> bytes:
        """The first lines of a request, up to its body of `length` bytes."""
        lines = [f"{method} {self.prefix}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.all_headers().items()]
        lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _take_apart(base_url: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        raise ConfigError([Problem("base_url", f"{base_url!r} is no URL: {error}")]) from error
    if parts.scheme not in _PORTS or not parts.hostname:
        hint = "write it as http://HOST:PORT/v1 or https://HOST/v1"
        raise ConfigError([Problem("base_url", f"{base_url!r} is no http or https URL", hint)])
    if parts.username or parts.password:
        hint = "name an environment variable that holds it: api_key_env=NAME"
        raise ConfigError([Problem("base_url", "holds a user or password", hint)])
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme], parts.path.rstrip("/")
