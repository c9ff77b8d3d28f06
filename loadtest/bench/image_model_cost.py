"""Processor time of an image model by itself, without Triton: as many sessions of one thread as there are cores.

    .engines/bin/python loadtest/bench/image_model_cost.py MODEL.onnx [--seconds 10] [--batch 16]

Runs in the engines' environment, with the very onnxruntime that serves. One thread a session is the cheapest way to run
the model: nothing waits for anything else. Prints JSON.
"""

import argparse
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort


def open_session(path: Path) -> ort.InferenceSession:
    """On one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--sessions", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    sessions = [open_session(arguments.model) for _ in range(arguments.sessions)]
    shape = [arguments.batch, *sessions[0].get_inputs()[0].shape[1:]]
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for session in sessions:
        session.run(None, {"pixels": pixels})
    runs = [0] * len(sessions)
    began, cpu = time.perf_counter(), time.process_time()

    def work(index: int) -> None:
        while time.perf_counter() - began < arguments.seconds:
            sessions[index].run(None, {"pixels": pixels})
            runs[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed, spent = time.perf_counter() - began, time.process_time() - cpu
    images = sum(runs) * arguments.batch
    print(json.dumps({"images": images, "cpu_ms": spent / images * 1000, "images_per_s": images / elapsed}))


if __name__ == "__main__":
    main()
