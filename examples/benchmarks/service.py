"""Latency of examples/serve.py on loopback, and where the time goes.

``SKXMC_DATA=folder python examples/benchmarks/service.py`` fits `XMCTextClassifier` on
the texts of debian-depends, saves the model, serves it from a process of its own, and
lets 8 clients ask for the best 5 labels of a text at a time. Prints milliseconds from
question to answer, requests per second, and the milliseconds of a processor that one
text takes within a process: to vectorize and to rank, alone and in a batch of 8.
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from _data import load, print_header, print_row, read_lines, without_votes
from threadpoolctl import threadpool_limits

import skxmc
from skxmc.datasets import get_data_home

SERVER = Path(__file__).parent.parent / "serve.py"
ESTIMATORS = "DECLAREClassifier", "MultiHeadEncodingClassifier", "UniDECClassifier"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--estimators", nargs="+", default=ESTIMATORS)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--waits", type=float, nargs="+", default=[0.0, 0.002])
    with tempfile.TemporaryDirectory() as folder:
        text = "where models are kept, and found by the next run"
        parser.add_argument("--folder", type=Path, default=Path(folder), help=text)
        measure(parser.parse_args())


def measure(options):
    texts, tags, questions = load_texts()
    print_header(
        "estimator",
        "labels",
        "wait ms",
        "p50 ms",
        "p99 ms",
        "requests / s",
        "vectorize, CPU ms",
        "rank 1, CPU ms",
        "rank 8, CPU ms",
    )
    for name in options.estimators:
        path = options.folder / f"{name}.skxmc"
        if not path.exists():
            classifier = getattr(skxmc, name)(max_epochs=options.epochs, random_state=0)
            classifier = without_votes(classifier)
            skxmc.XMCTextClassifier(classifier).fit(texts, tags).save(path)
        model = skxmc.load(path, mmap=True)
        with threadpool_limits(1):  # as the server does
            parts = time_parts(model, questions)
        for wait in options.waits:
            figures = time_service(path, wait, questions, options)
            row = name, len(model.classes_), f"{1000 * wait:.0f}"
            print_row(*row, *(f"{figure:.1f}" for figure in (*figures, *parts)))


def load_texts():
    """Return texts and tags to fit on, and texts to ask for."""
    folder = Path(get_data_home()) / "debian-depends"
    parts = "labels", "train_texts", "test_texts"
    names, texts, questions = (read_lines(folder / f"{p}.txt.gz") for p in parts)
    _, Y, _, _ = load("debian-depends")
    tags = [[names[label] for label in row.indices] for row in Y]
    return texts, tags, questions


def time_parts(model, questions, n_times=200):
    """Return CPU ms to vectorize a text, to rank for it, and for 8 at once."""
    vectorizer, classifier = model.vectorizer_, model.classifier_
    rows = [vectorizer.transform([text]) for text in questions[:n_times]]
    eight = [vectorizer.transform(questions[i : i + 8]) for i in range(n_times // 4)]
    classifier.predict_topk(rows[0])
    return (
        mean_ms(vectorizer.transform, [[text] for text in questions[:n_times]]),
        mean_ms(classifier.predict_topk, rows),
        mean_ms(classifier.predict_topk, eight),
    )


def mean_ms(function, arguments):
    start = time.process_time()
    for argument in arguments:
        function(argument)
    return 1000 * (time.process_time() - start) / len(arguments)


def time_service(path, wait, questions, options):
    """Return p50 and p99 of a request in milliseconds, and requests per second."""
    command = [sys.executable, str(SERVER), str(path), "--port", "0"]
    command += ["--wait", str(wait)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline().rpartition(":")[2])
            ask_for(port, questions, 1.0, options.clients)  # until all is read once
            times = ask_for(port, questions, options.seconds, options.clients)
        finally:
            process.terminate()
    return *np.percentile(times, [50, 99]) * 1000, len(times) / options.seconds


def ask_for(port, questions, seconds, n_clients):
    """Ask as fast as answers come; return the seconds that each of them took."""
    times = []
    end = time.perf_counter() + seconds

    def client(number):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while time.perf_counter() < end:
            text = questions[(number + n_clients * len(times)) % len(questions)]
            start = time.perf_counter()
            connection.request("POST", "/", json.dumps({"text": text}))
            answer = json.loads(connection.getresponse().read())
            times.append(time.perf_counter() - start)
            assert len(answer) == 5
        connection.close()

    threads = [threading.Thread(target=client, args=(i,)) for i in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


if __name__ == "__main__":
    main()
