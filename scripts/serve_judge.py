"""Serve a GGUF file on this machine as an OpenAI-compatible endpoint, by llama.cpp: a judge for
`method: arena` that needs no service. Run it in envs/llamacpp; Ctrl-C ends it.

A grammar holds its replies to the five labels of a verdict, because small models do not keep to
them by themselves: it says which it finds likeliest, without a word of why.
"""

import argparse
import signal
from pathlib import Path

import xllamacpp

LABELS = ("[[A>>B]]", "[[A>B]]", "[[A=B]]", "[[B>A]]", "[[B>>A]]")
GRAMMAR = "root ::= " + " | ".join(f'"{label}"' for label in LABELS)


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("--port", type=int, default=8642, help="of the loopback device")
    parser.add_argument("--context", type=int, default=2048, help="tokens of question and reply")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    arguments = parser.parse_args()
    if not arguments.model.is_file():
        parser.error(f"{arguments.model}: no such file")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(arguments.model)
    settings.model_alias = {arguments.model.stem}
    settings.hostnames, settings.port = ["127.0.0.1"], arguments.port
    settings.n_ctx, settings.n_parallel = arguments.context, 1
    settings.fit_params = settings.ui = False
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = arguments.threads
    kind = xllamacpp.common_grammar_type.COMMON_GRAMMAR_TYPE_USER
    settings.sampling.grammar = xllamacpp.CommonGrammar(kind, GRAMMAR)
    settings.verbosity = 1
    server = xllamacpp.Server(settings)
    print(f"{arguments.model.name}: {server.listening_address}/v1", flush=True)
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: None)
    signal.pause()


if __name__ == "__main__":
    main()
