"""Questions to a server beside the load: is it ready, what does it serve, how many tokens has a text."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple

from harness.llm.wire.target import Target


class Reply(NamedTuple):
    """An answer: its status, 0 where nobody answered, and its JSON, None where it is none."""

    status: int
    content: Any
    text: str

    @property
    def ok(self) -> bool:
        """Whether it is a success with JSON in it."""
        return self.status == 200 and self.content is not None


class SideCalls:
    """Short calls to one server; paths that begin with a slash stand beside the prefix of the API, not below it."""

    def __init__(self, target: Target, timeout_s: float = 5.0) -> None:
        self._root = f"{target.scheme}://{target.authority}"
        self._prefix = target.prefix
        self._headers = dict(target.headers)
        self._timeout_s = timeout_s
        proxies: dict[str, str] = {target.scheme: target.proxy} if target.proxy else {}
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))  # never the environment's own

    def ask(self, path: str, body: Mapping[str, Any] | None = None, timeout_s: float | None = None) -> Reply:
        """GET, or POST where there is a body; a failure of any kind is a reply too."""
        url = f"{self._root}{path}" if path.startswith("/") else f"{self._root}{self._prefix}/{path}"
        data = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": "application/json", "Connection": "close"}
        request = urllib.request.Request(url, data, headers)  # noqa: S310 - Target allows http and https only
        try:
            with self._opener.open(request, timeout=timeout_s or self._timeout_s) as answer:
                return _reply(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return _reply(error.code, error.read())
        except (OSError, ValueError) as error:  # URLError, timeouts, answers that are no HTTP
            reason = getattr(error, "reason", error)
            return Reply(0, None, str(reason))
        except Exception as error:  # http.client raises its own kinds for broken answers
            return Reply(0, None, f"{type(error).__name__}: {error}")


def _reply(status: int, data: bytes) -> Reply:
    text = data.decode("utf-8", "replace")
    try:
        return Reply(status, json.loads(text), text)
    except ValueError:
        return Reply(status, None, text)
