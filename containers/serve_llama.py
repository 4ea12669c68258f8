"""The teacher image's server: llama.cpp behind an OpenAI-compatible HTTP API, until SIGTERM.

python serve_llama.py --model /models/teacher.gguf --port 8000
"""

import argparse
import os
import signal

import xllamacpp

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--model", required=True, help="a GGUF file")
options.add_argument("--host", default="0.0.0.0")
options.add_argument("--port", type=int, default=8000)
options.add_argument("--context", type=int, default=4096, help="tokens, shared by the slots")
options.add_argument("--slots", type=int, default=1, help="answers at a time")
chosen = options.parse_args()
parameters = xllamacpp.CommonParams()
parameters.model.path = chosen.model
parameters.hostnames = [chosen.host]
parameters.port = chosen.port
parameters.n_ctx = chosen.context
parameters.n_parallel = chosen.slots
parameters.cache_prompt = False  # an answer depends on its request alone
parameters.api_keys = [key for key in [os.environ.get("TEACHER_API_KEY")] if key]
stop = {signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # before the server's threads, which inherit it
server = xllamacpp.Server(parameters)
print(f"serving {chosen.model} on {server.listening_address}", flush=True)
signal.sigwait(stop)
