"""What a user of the harness might measure; named by the YAML files beside this one."""

from typing import Annotated, Literal

from harness.ranges import Range


def tokenize(text_kb: Annotated[int, Range(min=1)], mode: Literal["bytes", "words"] = "words") -> dict[str, float]:
    text = "the quick brown fox " * (text_kb * 1024 // 20)
    return {"tokens": float(len(text.split() if mode == "words" else text.encode()))}


def greet(*, text: str, times: int | None = None, weights: tuple[float, ...] = ()) -> None:
    for _ in range(times or 1):
        _ = text.upper()


NUMBER = 3
