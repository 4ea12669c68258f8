"""Weights by name: `weights:NAME` is a file that weights.yaml knows by hash, fetched once (docs/models.md).

path = weights.fetch("qwen2.5-coder-0.5b-instruct")
"""

from stages.lib.models.weights.store import CACHE, FOLDER, SCHEME, Weights, cache, fetch, load, named_in, names

__all__ = ["CACHE", "FOLDER", "SCHEME", "Weights", "cache", "fetch", "load", "named_in", "names"]
