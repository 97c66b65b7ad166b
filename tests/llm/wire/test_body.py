import json

from harness.llm.request import Message, Request, Sampling
from harness.llm.wire.body import encode, fields

SAMPLING = Sampling(temperature=0.5, seed=3, max_tokens=7, top_p=0.9, stop=("end",))
MESSAGES = (Message("system", "be brief"), Message("user", "päng"))


def test_a_chat_request_asks_for_its_usage() -> None:
    path, body = encode(Request(messages=MESSAGES, sampling=SAMPLING), "m")
    assert path == "/chat/completions"
    assert json.loads(body) == {
        "model": "m",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "päng"}],
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "stop": ["end"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_completion_joins_the_messages_and_may_come_whole() -> None:
    path, body = encode(Request(messages=MESSAGES, sampling=SAMPLING, endpoint="completions", stream=False), None)
    found = json.loads(body)
    assert path == "/completions"
    assert found["prompt"] == "be brief\npäng"
    assert found["stream"] is False
    assert not {"stream_options", "messages", "model"} & set(found)


def test_extra_fields_have_the_last_word_and_no_seed_is_none() -> None:
    sampling = Sampling(temperature=0.0, seed=None, max_tokens=7, top_p=1.0)
    found = fields(Request(messages=MESSAGES, sampling=sampling, extra={"cache_prompt": False, "max_tokens": 9}), None)
    assert found["cache_prompt"] is False
    assert found["max_tokens"] == 9
    assert not {"seed", "stop"} & set(found)
