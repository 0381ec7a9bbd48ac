# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""An OpenAI-compatible server on loopback that goes wrong when it is told to."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch

from ddg_hf.evaluation.icl.encoding import encode


@dataclass
class Asked:
    """A request: its path, body and headers, and when it came (seconds)."""

    path: str
    body: dict
    headers: dict
    time: float

    @property
    def text(self) -> str:
        return self.body["prompt"] if "prompt" in self.body else self.body["messages"][-1]["content"]


# Faults: what happens to a request instead of an answer


def status(code, body=None, **headers):
    """An HTTP status, with a body as JSON; `retry_after=1` becomes a header."""

    def fault(handler):
        names = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        body_ = {"error": {"message": f"simulated {code}"}} if body is None else body
        handler.reply(code, json.dumps(body_).encode(), names)

    return fault


def raw(content, content_type="application/json"):
    """A 200 that holds whatever `content` is."""

    def fault(handler):
        handler.reply(200, content, {"Content-Type": content_type})

    return fault


def slow(handler):
    """Nothing, until the server is closed."""
    handler.server.owner.closing.wait(10)
    handler.close_connection = True


def cut(handler):
    """The beginning of an answer, and then the connection is closed."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


# Answers


def say(function: Callable[[Asked], str]):
    """Answers every prompt, plain or chat, with `function` of the request. Knows nothing of log-probabilities."""

    def answer(asked):
        text = function(asked)
        if asked.path.endswith("/chat/completions"):
            return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
        return {"choices": [{"index": 0, "text": text, "logprobs": None}]}

    return answer


class ModelAnswers:
    """
    Answers plain prompts with a model, always greedily; with `echo` and `logprobs` it repeats the prompt with the
    log-probabilities of its tokens, the way vLLM does: BOS is a token of the prompt, and offsets count its text.
    """

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        self.lock = threading.Lock()

    @torch.no_grad()
    def __call__(self, asked: Asked) -> dict:
        body, ids = asked.body, encode(self.tokenizer, [asked.body["prompt"]])[0].tolist()
        new: list[int] = []
        with self.lock:
            while len(new) < body["max_tokens"]:
                last = self.model(torch.tensor([ids + new])).logits[0, -1]
                new.append(int(last.argmax()))
                stops = [stop in self.tokenizer.decode(new) for stop in body.get("stop") or ()]
                if new[-1] == self.tokenizer.eos_token_id or any(stops):
                    break
            logprobs_TV = self.model(torch.tensor([ids + new])).logits[0].float().log_softmax(-1)
        text = self.tokenizer.decode(new, skip_special_tokens=True)
        for stop in body.get("stop") or ():
            text = text.split(stop)[0]
        choice = {"index": 0, "text": text, "logprobs": None}
        if body.get("echo"):
            choice["text"] = body["prompt"] + text
        if body.get("logprobs"):
            shown = ids + new if body.get("echo") else new
            behind = logprobs_TV[:-1].gather(1, torch.tensor(ids + new)[1:, None])[:, 0].tolist()
            tokens = [self.tokenizer.decode([token]) for token in shown]
            offsets = [sum(map(len, tokens[:i])) for i in range(len(tokens))]
            choice["logprobs"] = {
                "tokens": tokens,
                "token_logprobs": ([None, *behind])[-len(shown) :],
                "text_offset": offsets,
            }
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(new), "total_tokens": len(ids) + len(new)}
        return {"id": "cmpl-1", "object": "text_completion", "choices": [choice], "usage": usage}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, code, content, headers):
        self.send_response(code)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self):
        owner = self.server.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.path, body, headers, time.monotonic())
        with owner.lock:
            number = len(owner.asked)
            owner.asked.append(asked)
            owner.active += 1
            owner.most_active = max(owner.most_active, owner.active)
        try:
            fault = owner.fault(number, asked) if owner.fault is not None else None
            if fault is None:
                self.reply(200, json.dumps(owner.answer(asked)).encode(), {})
            else:
                fault(self)
        except ConnectionError:
            self.close_connection = True  # whoever asked has given up
        finally:
            with owner.lock:
                owner.active -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


class FaultServer:
    """
    Serves until the `with` block ends.

    Args:
        answer: Returns the JSON answer to a request.
        fault: Returns what goes wrong with a request (its number, from 0, and itself), or `None`.

    Attributes:
        url: Address of the API.
        asked: The requests, in the order in which they came.
        most_active: Greatest number of requests at once.
    """

    def __init__(self, answer, fault=None):
        self.answer, self.fault = answer, fault
        self.asked: list[Asked] = []
        self.active = self.most_active = 0
        self.lock, self.closing = threading.Lock(), threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def texts(self) -> list[str]:
        """The prompts, or last messages, in the order in which they came."""
        return [asked.text for asked in self.asked]
