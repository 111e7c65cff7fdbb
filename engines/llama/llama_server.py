#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's own HTTP server, from the PyPI package xllamacpp, as one replica.

Takes the part of llama-server's options that the centre uses, so that a llama-server on PATH does as well.
"""
import argparse
import os
import signal
import sys
import threading


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("-c", "--ctx-size", type=int, default=2048, help="tokens of context of each slot together")
    parser.add_argument("-np", "--parallel", type=int, default=2, help="requests at the same time")
    parser.add_argument("-t", "--threads", type=int, default=max(1, len(os.sched_getaffinity(0))))
    parser.add_argument("-ngl", "--n-gpu-layers", type=int, default=999)
    parser.add_argument("-a", "--alias", default="model")
    return parser.parse_args()


def check_model(path: str) -> None:
    """llama.cpp aborts on some broken files; these are the ones that a person meets. EX_DATAERR: a retry cannot help."""
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
    except OSError as error:
        print(f"llama_server: {path}: {error.strerror}; name a GGUF file", file=sys.stderr)
        raise SystemExit(65) from error
    if magic != b"GGUF":
        print(f"llama_server: {path} is not a GGUF file (it starts with {magic!r}); export one with "
              "`centrale-trainer export --gguf`", file=sys.stderr)
        raise SystemExit(65)


def main() -> None:
    given = options()
    check_model(given.model)
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = given.model
    params.model_alias = {given.alias}
    params.hostnames = [given.host]
    params.port = given.port
    params.n_ctx = given.ctx_size
    params.n_parallel = given.parallel
    params.n_gpu_layers = given.n_gpu_layers
    params.cpuparams.n_threads = given.threads
    params.cpuparams_batch.n_threads = given.threads
    params.n_threads_http = 4
    params.ui = False
    params.warmup = False
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        server = xllamacpp.Server(params)
    except Exception as error:  # the binding wraps every refusal of llama.cpp
        print(f"llama_server: {given.model} cannot be loaded: {error}", file=sys.stderr)
        raise SystemExit(65) from error
    print(f"llama_server: {given.alias} at {server.listening_address}", flush=True)
    stop.wait()
    sys.stdout.flush()
    os._exit(0)  # the binding has no stop; requests that are open have been drained by the gateway


if __name__ == "__main__":
    main()
