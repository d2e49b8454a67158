"""The service of examples/serve.py, asked over HTTP."""

import http.client
import importlib.util
import json
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from skxmc import DECLAREClassifier, XMCTextClassifier

SCRIPT = Path(__file__).parent.parent / "examples" / "serve.py"
TEXTS = ["red wine", "white wine", "red apple", "green apple"] * 10
TAGS = [["drink", "red"], ["drink"], ["fruit", "red"], ["fruit"]] * 10


@pytest.fixture(scope="module")
def serve():
    spec = importlib.util.spec_from_file_location("serve", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model():
    return XMCTextClassifier(DECLAREClassifier(random_state=0)).fit(TEXTS, TAGS)


@pytest.fixture
def ask(serve, model):
    """Return a function from the body of a request to (status, answer)."""
    with serving(serve, model) as function:
        yield function


@contextmanager
def serving(serve, model):
    server = serve.make_server(model, 0, wait=0.01)

    def ask(body, headers=None):
        port = server.server_port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/", body, headers or {})
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ask
        server.shutdown()


def test_answers_are_the_models_whatever_comes_together(ask, model):
    def question(i):
        return {"text": TEXTS[i % 4], "k": 1 + i % 9}

    with ThreadPoolExecutor(8) as pool:
        bodies = [json.dumps(question(i)) for i in range(40)]
        answers = [*pool.map(ask, bodies)]
    for i, (status, answer) in enumerate(answers):
        labels, scores = model.predict_topk([TEXTS[i % 4]], k=min(1 + i % 9, 3))
        expected = zip(model.classes_[labels[0]], scores[0].tolist(), strict=True)
        assert status == 200
        assert answer == [list(pair) for pair in expected]


def test_requests_that_come_while_it_computes_are_one_batch(serve, model):
    sizes, started, go_on = [], threading.Event(), threading.Event()

    def predict_topk(texts, k):
        sizes.append(len(texts))
        started.set()
        go_on.wait(30)
        return model.predict_topk(texts, k=k)

    requests = queue.SimpleQueue()
    futures = [Future() for _ in range(9)]
    slow = SimpleNamespace(classes_=model.classes_, predict_topk=predict_topk)
    arguments = slow, requests, 0.0
    threading.Thread(target=serve.answer_batches, args=arguments, daemon=True).start()
    requests.put(("a red wine", 1, futures[0]))
    assert started.wait(30)
    for k, future in enumerate(futures[1:]):
        requests.put(("an apple", 1 + k % 3, future))
    go_on.set()
    assert [len(future.result(30)) for future in futures] == [1, *([1, 2, 3] * 3)[:8]]
    assert sizes == [1, 8]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("not json", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError: 'text'"),
        ('{"text": 3}', "text is a string"),
        ('{"text": "a", "k": 0}', "k a number from 1 to 100"),
        ('{"text": "a", "k": true}', "k a number from 1 to 100"),
    ],
)
def test_bad_requests_are_refused_and_the_service_goes_on(ask, body, message):
    status, answer = ask(body)
    assert status == 400
    assert message in answer["error"]
    assert ask('{"text": "an apple", "k": 1}')[0] == 200


def test_large_requests_are_refused_unread(ask):
    status, answer = ask(b"", {"Content-Length": str(2**40)})
    assert status == 400
    assert "bytes" in answer["error"]


def test_errors_of_the_model_are_answered_and_it_goes_on(serve, model):
    def predict_topk(texts, k):
        if "bad" in texts:
            raise RuntimeError("secret")
        return model.predict_topk(texts, k=k)

    broken = SimpleNamespace(classes_=model.classes_, predict_topk=predict_topk)
    with serving(serve, broken) as ask:
        assert ask('{"text": "bad"}') == (500, {"error": "RuntimeError"})
        assert ask('{"text": "a red apple", "k": 1}')[0] == 200
