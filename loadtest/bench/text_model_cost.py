"""Time of text models by themselves, without Triton, in turns: what a precision or a bucket costs at a batch size.

    .engines/bin/python loadtest/bench/text_model_cost.py MODEL.onnx [MODEL.onnx ...] [--tokens 4 6 8]
        [--batches 1 8 32] [--threads 1 2] [--rounds 30] [--spin] [--option session.KEY=VALUE]

Runs in the engines' environment, with the very onnxruntime that serves, in a session as the embedded stack opens one.
Every round runs every model once, so that all of them see the same machine. Processor time is the least of all rounds
and hardly suffers from neighbours; the ratio to the first model is the median of the rounds' own ratios. Prints JSON.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

BEGIN, END = 49_406, 49_407


def open_session(path: Path, threads: int, spin: bool, options: list[str]) -> ort.InferenceSession:
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    for option in options:
        key, _, value = option.partition("=")
        settings.add_session_config_entry(key, value)
    return ort.InferenceSession(path, settings, providers=["CPUExecutionProvider"])


def token_ids(batch: int, tokens: int) -> Any:
    """int32 [batch, tokens]: texts that fill their bucket."""
    ids = np.random.default_rng(0).integers(0, BEGIN, (batch, tokens), np.int32)
    ids[:, 0], ids[:, -1] = BEGIN, END
    return ids


def measure(sessions: list[ort.InferenceSession], ids: Any, rounds: int) -> list[dict[str, float]]:
    """By session, milliseconds of one run, and of processor time for one text."""
    wall: list[list[float]] = [[] for _ in sessions]
    spent: list[list[float]] = [[] for _ in sessions]
    for turn in range(rounds + 1):
        for index, session in enumerate(sessions):
            began, cpu = time.perf_counter(), time.process_time()
            session.run(None, {"input_ids": ids})
            if turn:  # the first round warms up
                wall[index].append((time.perf_counter() - began) * 1000)
                spent[index].append((time.process_time() - cpu) * 1000)
    return [
        {
            "least_ms": round(min(wall[index]), 2),
            "median_ms": round(statistics.median(wall[index]), 2),
            "cpu_ms_a_text": round(min(spent[index]) / len(ids), 2),
            "times_the_first": round(statistics.median(map(float.__truediv__, wall[0], wall[index])), 2),
            "cpu_times_the_first": round(min(spent[0]) / min(spent[index]), 2),
        }
        for index in range(len(sessions))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--tokens", type=int, nargs="+", default=[4, 6, 8])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--spin", action="store_true", help="threads that wait spin; in the embedded stack they do not")
    parser.add_argument("--option", action="append", default=[], help="KEY=VALUE of ONNX Runtime's session options")
    arguments = parser.parse_args()
    cases = []
    for threads in arguments.threads:
        sessions = [open_session(path, threads, arguments.spin, arguments.option) for path in arguments.models]
        for batch in arguments.batches:
            for tokens in arguments.tokens:
                # A run of 32 texts takes ten times as long as one of one; so many rounds of it are not needed.
                rounds = max(3, arguments.rounds // max(1, batch // 2))
                found = measure(sessions, token_ids(batch, tokens), rounds)
                models = {str(path): one for path, one in zip(arguments.models, found, strict=True)}
                cases.append({"threads": threads, "batch": batch, "tokens": tokens, "models": models})
    print(json.dumps({"onnxruntime": ort.__version__, "cases": cases}, indent=2))


if __name__ == "__main__":
    main()
