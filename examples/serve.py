"""Serve a model of texts over HTTP; requests that come together are one batch.

``python examples/serve.py model.skxmc --port 8000`` waits for requests, and
``curl localhost:8000 -d '{"text": "red wine", "k": 2}'`` answers
``[["drink", 0.93], ["red", 0.71]]``. The model is an `XMCTextClassifier` that was
saved. For a network that you trust: there is neither encryption nor a limit on clients.
"""

import argparse
import json
import queue
import threading
from concurrent.futures import Future
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from threadpoolctl import threadpool_limits

import skxmc

MAX_BATCH, MAX_K, MAX_BYTES, MAX_SECONDS = 64, 100, 2**20, 30


def answer_batches(model, requests, wait):
    """Answer requests for ever: those that have queued up meanwhile, all at once.

    `wait` is how many seconds to wait for one more.
    """
    while True:
        batch = [requests.get()]
        with suppress(queue.Empty):
            while len(batch) < MAX_BATCH:
                batch.append(
                    requests.get(timeout=wait) if wait else requests.get(False)
                )
        texts, ks, futures = zip(*batch, strict=True)
        try:
            answers = suggest(model, texts, max(ks))
        except Exception as error:  # the service goes on
            for future in futures:
                future.set_exception(error)
        else:
            for future, answer, k in zip(futures, answers, ks, strict=True):
                future.set_result(answer[:k])


def suggest(model, texts, k):
    """Return the k best (name, score) of each text."""
    labels, scores = model.predict_topk(texts, k=k)
    rows = zip(model.classes_[labels].tolist(), scores.tolist(), strict=True)
    return [[*zip(*row, strict=True)] for row in rows]


class Handler(BaseHTTPRequestHandler):
    """Reads a request, queues it and writes the answer."""

    protocol_version = "HTTP/1.1"  # a connection serves many requests
    disable_nagle_algorithm, wbufsize = True, -1  # an answer is sent at once, whole
    timeout = MAX_SECONDS

    def do_POST(self):
        try:
            text, k = self.read_request()
        except (ValueError, TypeError, KeyError) as error:
            self.close_connection = True  # what is left of the request is not read
            return self.answer(400, {"error": f"{type(error).__name__}: {error}"})
        future = Future()
        self.server.requests.put((text, k, future))
        try:
            self.answer(200, future.result(MAX_SECONDS))
        except Exception as error:
            self.answer(500, {"error": type(error).__name__})

    def read_request(self):
        size = int(self.headers.get("Content-Length", -1))
        if not 0 <= size <= MAX_BYTES:
            raise ValueError(f"a request has 0 to {MAX_BYTES} bytes, not {size}")
        request = json.loads(self.rfile.read(size))
        text, k = request["text"], request.get("k", 5)
        if not isinstance(text, str) or type(k) is not int or not 1 <= k <= MAX_K:
            raise ValueError(f"text is a string and k a number from 1 to {MAX_K}")
        return text, min(k, self.server.n_labels)

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *args):
        """Say nothing of requests that are answered."""


def make_server(model, port, wait=0.0):
    """Return a server whose `serve_forever` answers requests to this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.requests, server.n_labels = queue.SimpleQueue(), len(model.classes_)
    arguments = model, server.requests, wait
    threading.Thread(target=answer_batches, args=arguments, daemon=True).start()
    return server


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--wait", type=float, default=0.0, help="seconds, see above")
    options = parser.parse_args()
    # Threads of a small matrix product wait for each other longer than it takes.
    threadpool_limits(1)
    model = skxmc.load(options.model, mmap=True)
    model.predict_topk(["once, so that the first request is as fast as others"], k=1)
    server = make_server(model, options.port, options.wait)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
