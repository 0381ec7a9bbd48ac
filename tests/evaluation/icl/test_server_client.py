# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What goes wrong with a server, what is asked again, what is given up, and what is kept."""

import asyncio
import email.utils
import logging
import socket
import sys
import time
import traceback

import pytest

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import server_client
from ddg_hf.evaluation.icl.backend import Prompts
from ddg_hf.evaluation.icl.server_backend import ServerBackend
from tests.evaluation.icl.fault_server import FaultServer, cut, raw, say, slow, status

KEY = "sk-secret-0123456789"
WORDS = [" apple", " pear", " plum", " fig", " lime", " date"]
PROMPTS = Prompts("Name the fruit.\n\n", [f"Fruit {i}:" for i in range(6)], WORDS, "\n\n")
ANSWERS = [word.strip() for word in WORDS]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(server_client, "FIRST_WAIT", 0.002)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def fruit(asked):
    return WORDS[int(asked.text[-2])] + "\nand more"


def backend_of(server, **options):
    return ServerBackend(server.url, "tiny", **({"max_retries": 2, "timeout": 5.0} | options))


def once(fault, number=3):
    """The fault for the first request about one query."""
    seen = []

    def pick(_, asked):
        if f"Fruit {number}:" in asked.text and not seen:
            seen.append(asked)
            return fault
        return None

    return pick


def always(fault, *numbers):
    return lambda _, asked: fault if any(f"Fruit {number}:" in asked.text for number in numbers) else None


FAULTS = {
    "429": status(429),
    "429 with Retry-After": status(429, retry_after=0.01),
    "429 with a foul Retry-After": status(429, retry_after="soon"),
    "408": status(408),
    "500": status(500),
    "503 without JSON": lambda handler: handler.reply(503, b"<html>busy</html>", {"Content-Type": "text/html"}),
    "a page": raw(b"<html>Welcome</html>", "text/html"),
    "not JSON": raw(b'{"choices": [{"text": '),
    "not UTF-8": raw(b'{"choices": [{"text": "\xff\xfe"}]}'),
    "nothing": raw(b""),
    "a number": raw(b"7"),
    "null": raw(b"null"),
    "no choices": raw(b'{"choices": []}'),
    "choices of another kind": raw(b'{"choices": {"text": "apple"}}'),
    "a text that is none": raw(b'{"choices": [{"text": 7}]}'),
    "deeply nested": raw(b"[" * 100_000),
    "cut": cut,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_went_wrong_is_asked_again(fault):
    with FaultServer(say(fruit), once(fault)) as server:
        backend = backend_of(server)
        assert backend.generate(PROMPTS, 4) == ANSWERS
    assert backend.failures == []
    assert len(server.asked) == 7 and server.texts.count("Name the fruit.\n\nFruit 3:") == 2


def test_an_answer_that_is_too_late_is_asked_for_again():
    with FaultServer(say(fruit), once(slow)) as server:
        start = time.monotonic()
        assert backend_of(server, timeout=0.3).generate(PROMPTS, 4) == ANSWERS
        assert 0.3 <= time.monotonic() - start < 5
    assert len(server.asked) == 7


def test_an_answer_that_comes_byte_by_byte_is_too_late():
    """A limit on the time between two bytes would never end this."""

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not handler.server.owner.closing.wait(0.05):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    with FaultServer(say(fruit), always(drip, 3)) as server:
        backend = backend_of(server, timeout=0.3, max_retries=0)
        assert backend.generate(PROMPTS, 4)[3] is None
        assert backend.failures == ["query 3: no answer within 0.3 s (1 attempt)"]


def test_retry_after_is_respected():
    with FaultServer(say(fruit), once(status(429, retry_after=1))) as server:
        assert backend_of(server).generate(PROMPTS, 4) == ANSWERS
    first, second = (asked.time for asked in server.asked if "Fruit 3:" in asked.text)
    assert second - first >= 1


def test_retry_after_of_an_hour_is_not_waited_for():
    with FaultServer(say(fruit), always(status(429, retry_after=3600), 3)) as server:
        backend = backend_of(server)
        assert backend.generate(PROMPTS, 4)[3] is None
        assert backend.failures == ["query 3: the server answered 429: simulated 429 (1 attempt)"]


def test_retry_after_may_be_a_date():
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 97 < server_client._retry_after(date) <= 100
    values = [None, "", "soon", "nan", "inf", "-3", email.utils.formatdate(0, usegmt=True)]
    assert [server_client._retry_after(value) for value in values] == [None] * 7
    assert server_client._retry_after("0") == 0


def test_waits_grow_and_end(monkeypatch):
    monkeypatch.setattr(server_client, "FIRST_WAIT", 0.02)
    with FaultServer(say(fruit), always(status(500), 3)) as server:
        backend = backend_of(server, max_retries=5)
        assert backend.generate(PROMPTS, 4)[3] is None
    times = [asked.time for asked in server.asked if "Fruit 3:" in asked.text]
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert len(times) == 6
    assert all(gap >= 0.75 * 0.02 * 2**i for i, gap in enumerate(gaps))


@pytest.mark.parametrize("fault", [status(500), raw(b"garbage"), cut], ids=["500", "garbage", "cut"])
def test_a_query_that_stays_unanswered_is_failed_and_the_others_are_not(fault):
    done = []
    with FaultServer(say(fruit), always(fault, 0, 4)) as server:
        backend = backend_of(server)
        answers = backend.generate(PROMPTS, 4, progress=done.append)
    assert answers == [None, "pear", "plum", "fig", None, "date"]
    assert [line.split(":")[0] for line in backend.failures] == ["query 0", "query 4"]
    assert all(line.endswith("(3 attempts)") and "\n" not in line for line in backend.failures)
    assert sum(done) == 6 and len(server.asked) == 4 + 2 * 3


def test_a_later_call_forgets_the_failures_of_an_earlier_one():
    with FaultServer(say(fruit), lambda number, _: status(500) if number == 3 else None) as server:
        backend = backend_of(server, max_retries=0)
        backend.generate(PROMPTS, 4)
        assert len(backend.failures) == 1
        assert backend.generate(PROMPTS, 4) == ANSWERS and backend.failures == []
    assert len(server.asked) == 7


def test_the_rest_is_not_asked_of_a_server_that_has_died(monkeypatch):
    monkeypatch.setattr(server_client, "FAILURES_IN_A_ROW", 3)
    with FaultServer(say(fruit), lambda number, _: status(500) if number else None) as server:
        backend = backend_of(server, max_retries=0, concurrency=1)
        assert backend.generate(PROMPTS, 4) == ["apple", None, None, None, None, None]
    assert len(server.asked) == 4
    assert backend.failures[-1] == "query 5: not asked, because 3 requests before it failed in a row"


def test_failures_between_answers_do_not_end_the_run(monkeypatch):
    monkeypatch.setattr(server_client, "FAILURES_IN_A_ROW", 2)
    with FaultServer(say(fruit), always(status(500), 0, 2, 4)) as server:
        backend = backend_of(server, max_retries=0, concurrency=1)
        assert backend.generate(PROMPTS, 4) == [None, "pear", None, "fig", None, "date"]
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    ("code", "advice"),
    [(401, "--api_key"), (403, "--api_key"), (404, "--chat user"), (405, "--base_url"), (400, "simulated 400")],
)
def test_what_no_retry_mends_is_an_error_at_once(code, advice):
    with FaultServer(say(fruit), lambda *_: status(code)) as server:
        with pytest.raises(UserError, match=str(code)) as error:
            backend_of(server).generate(PROMPTS, 4)
    assert len(server.asked) == 1
    assert advice in str(error.value) and "\n" not in str(error.value)


def test_a_key_that_is_withdrawn_ends_the_run():
    with FaultServer(say(fruit), always(status(401), 4)) as server:
        with pytest.raises(UserError, match="401"):
            backend_of(server).generate(PROMPTS, 4)


@pytest.mark.parametrize("key", ["message", "detail"])
def test_a_prompt_that_is_too_long_is_an_error_that_quotes_the_server(key):
    message = "This model's maximum context length is 2048 tokens,\nbut the request has 4000."
    body = {"error": {"message": message}} if key == "message" else {"detail": message}
    with FaultServer(say(fruit), always(status(400, body), 4)) as server:
        with pytest.raises(UserError, match="maximum context length is 2048 tokens, but") as error:
            backend_of(server).generate(PROMPTS, 4)
    assert "\n" not in str(error.value)


def test_a_query_that_the_server_refuses_is_failed_without_asking_again():
    refusal = status(400, {"error": {"message": "the prompt violates the policy"}})
    with FaultServer(say(fruit), always(refusal, 4)) as server:
        backend = backend_of(server)
        assert backend.generate(PROMPTS, 4)[4] is None
    assert backend.failures == ["query 4: the server answered 400: the prompt violates the policy (1 attempt)"]
    assert len(server.asked) == 6


def test_a_server_that_is_not_there():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    with pytest.raises(UserError, match="no server answers at .*check --base_url"):
        ServerBackend(url, "tiny", max_retries=1).generate(PROMPTS, 4)


def test_a_server_that_goes_away_leaves_failed_queries():
    with FaultServer(say(fruit)) as server:
        backend = backend_of(server, max_retries=0)
        assert backend.generate(PROMPTS, 4) == ANSWERS
    other = Prompts("Again.\n\n", PROMPTS.queries, WORDS, "\n\n")
    assert backend.generate(other, 4) == [None] * 6
    assert len(backend.failures) == 6


def test_equal_requests_are_asked_once():
    prompts = Prompts("", ["Fruit 1:", "Fruit 2:", "Fruit 1:"], WORDS, "\n\n")
    done = []
    with FaultServer(say(fruit)) as server:
        assert backend_of(server).generate(prompts, 4, progress=done.append) == ["pear", "plum", "pear"]
    assert len(server.asked) == 2 and sum(done) == 3


def test_no_more_requests_at_once_than_allowed_and_answers_in_order():
    prompts = Prompts("", [f"{i} Fruit {i % 6}:" for i in range(40)], WORDS, "\n\n")

    def late(asked):
        time.sleep(0.02 if int(asked.text.split()[0]) % 3 else 0.001)
        return fruit(asked)

    with FaultServer(say(late)) as server:
        assert backend_of(server, concurrency=3).generate(prompts, 4) == [ANSWERS[i % 6] for i in range(40)]
    assert server.most_active == 3


def test_inside_a_running_event_loop():
    """As in a notebook."""

    async def cell(backend):
        return backend.generate(PROMPTS, 4)

    with FaultServer(say(fruit)) as server:
        assert asyncio.run(cell(backend_of(server))) == ANSWERS


# The key


def everything_about(error):
    """What any logger could write of an exception, and of those behind it."""
    seen, texts = set(), []
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        texts += [repr(error), str(error), repr(vars(error)), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


@pytest.mark.parametrize("code", [400, 401, 404, 500])
@pytest.mark.parametrize("source", ["argument", "environment"])
def test_the_key_is_sent_and_appears_nowhere(code, source, tmp_path, caplog, capfd, monkeypatch):
    """Also if the server repeats it in everything that it says."""
    caplog.set_level(logging.DEBUG)
    if source == "environment":
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
    echo = status(code, {"error": {"message": f"Incorrect API key provided: {KEY}"}})
    with FaultServer(say(fruit), always(echo, 2)) as server:
        options = {"api_key": KEY} if source == "argument" else {}
        backend = backend_of(server, journal=tmp_path / "answers.jsonl", **options)
        texts = [repr(backend), str(backend), repr(backend.client)]
        try:
            backend.generate(PROMPTS, 4)
        except UserError as error:
            texts.append(everything_about(error))
        texts += backend.failures
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    texts += [caplog.text, *capfd.readouterr(), (tmp_path / "answers.jsonl").read_text()]
    assert all(KEY not in text for text in texts)
    assert any("Incorrect API key provided: ***" in text for text in texts)


def test_garbage_that_repeats_the_key():
    """Also where the message is cut off in the middle of it."""
    content = f"you sent {KEY}" + "." * 180 + KEY
    with FaultServer(say(fruit), always(raw(content.encode()), 2)) as server:
        backend = backend_of(server, api_key=KEY, max_retries=0)
        backend.generate(PROMPTS, 4)
    assert KEY[:5] not in backend.failures[0] and "you sent ***" in backend.failures[0]


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\nX-Other: 1", f" {KEY}", "sk-\u00fc", "sk-\u200b1"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(key):
    with pytest.raises(UserError, match="API key") as error:
        ServerBackend("http://127.0.0.1:1/v1", "tiny", api_key=key)
    assert key.strip() not in everything_about(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "localhost:8000"}, "such as http://localhost:8000/v1"),
        ({"base_url": "http://[::1/v1"}, "such as http://localhost:8000/v1"),
        ({"base_url": "http://localhost:hunter2/v1"}, "such as http://localhost:8000/v1"),
        ({"base_url": "http://me:hunter2@localhost/v1"}, "--api_key"),
        ({"base_url": "http://localhost/v1?key=hunter2"}, "--api_key"),
        ({"model": ""}, "--model"),
        ({"concurrency": 0}, "--concurrency"),
        ({"max_retries": -1}, "--max_retries"),
        ({"timeout": 0.0}, "--timeout"),
        ({"timeout": float("nan")}, "--timeout"),
    ],
)
def test_arguments_that_cannot_be(options, message):
    with pytest.raises(UserError, match=message) as error:
        ServerBackend(**({"base_url": "http://127.0.0.1:1/v1", "model": "tiny"} | options))
    assert "hunter2" not in str(error.value)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match=r"ddg_hf\[server\]"):
        ServerBackend("http://127.0.0.1:1/v1", "tiny")


# The journal


def test_a_run_that_was_stopped_asks_only_for_what_is_missing(tmp_path):
    path = tmp_path / "new" / "answers.jsonl"
    with FaultServer(say(fruit), lambda number, _: status(500) if number >= 3 else None) as server:
        backend = backend_of(server, journal=path, max_retries=0, concurrency=1)
        assert backend.generate(PROMPTS, 4) == [*ANSWERS[:3], None, None, None]
    with FaultServer(say(fruit)) as server:
        done = []
        backend = backend_of(server, journal=path)
        assert backend.generate(PROMPTS, 4, progress=done.append) == ANSWERS and sum(done) == 6
    assert sorted(server.texts) == [PROMPTS.prefix + query for query in PROMPTS.queries[3:]]
    with FaultServer(say(fruit)) as server:
        assert backend_of(server, journal=path).generate(PROMPTS, 4) == ANSWERS
    assert server.asked == []
    assert all(text not in path.read_text() for text in ("Fruit", "Name"))


def test_what_was_answered_before_an_interruption_is_kept(tmp_path):
    path = tmp_path / "answers.jsonl"
    done = []

    def interrupt(number):
        done.append(number)
        if len(done) == 3:
            raise KeyboardInterrupt

    with FaultServer(say(fruit)) as server:
        with pytest.raises(KeyboardInterrupt):
            backend_of(server, journal=path, concurrency=1).generate(PROMPTS, 4, progress=interrupt)
    with FaultServer(say(fruit)) as server:
        assert backend_of(server, journal=path).generate(PROMPTS, 4) == ANSWERS
    assert len(server.asked) == 3


def test_other_questions_are_not_taken_from_the_journal(tmp_path):
    path = tmp_path / "answers.jsonl"
    chat = Prompts("", ["Fruit 1:"], WORDS, "\n", messages=[[{"role": "user", "content": "Fruit 1:"}]])
    plain = Prompts("", ["Fruit 1:"], WORDS, "\n")
    with FaultServer(say(fruit)) as server:
        for prompts, tokens in ((plain, 8), (plain, 9), (chat, 8)):
            backend_of(server, journal=path).generate(prompts, tokens)
        ServerBackend(server.url, "another", journal=path).generate(plain, 8)
    assert len(server.asked) == 4


def test_a_torn_last_line_is_asked_again(tmp_path):
    path = tmp_path / "answers.jsonl"
    with FaultServer(say(fruit)) as server:
        backend_of(server, journal=path, concurrency=1).generate(PROMPTS, 4)
        whole = path.read_bytes()
        path.write_bytes(whole[:-9])
        server.asked.clear()
        assert backend_of(server, journal=path).generate(PROMPTS, 4) == ANSWERS
        assert len(server.asked) == 1
    assert path.read_bytes() == whole


def test_a_journal_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with FaultServer(say(fruit)) as server:
        with pytest.raises(UserError, match="cannot write the answers"):
            backend_of(server, journal=tmp_path / "file" / "answers.jsonl").generate(PROMPTS, 4)
