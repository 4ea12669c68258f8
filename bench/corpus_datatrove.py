"""datatrove's side of bench/corpus.py, run by the Python of its own virtual environment: FOLDER, BANDS and ROWS a band.

FOLDER/rows has JSON lines with `id` and `text`. The four steps of datatrove's own near-duplicate pipeline run one after
another in this process, with five words a shingle
(https://github.com/huggingface/datatrove, examples/minhash_deduplication.py). Prints the CPU seconds and how many rows
it dropped.
"""

import gzip
import json
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.logging import logger

folder, bands, rows = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
logger.remove()
config = MinhashConfig(n_grams=5, num_buckets=bands, hashes_per_bucket=rows)
places = {name: str(folder / name) for name in ("rows", "signatures", "buckets", "clusters", "kept", "logs")}
steps = (
    (1, [JsonlReader(places["rows"]), MinhashDedupSignature(places["signatures"], config)]),
    (bands, [MinhashDedupBuckets(places["signatures"], places["buckets"], config=config)]),
    (1, [MinhashDedupCluster(places["buckets"], places["clusters"], config=config)]),
    (1, [JsonlReader(places["rows"]), MinhashDedupFilter(places["clusters"]), JsonlWriter(places["kept"])]),
)
before = time.process_time()
for number, (tasks, pipeline) in enumerate(steps):
    LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=f"{places['logs']}/{number}").run()
seconds = time.process_time() - before
given = sum(len(file.read_text().splitlines()) for file in Path(places["rows"]).iterdir())
kept = sum(len(gzip.decompress(file.read_bytes()).splitlines()) for file in Path(places["kept"]).iterdir())
print(json.dumps({"cpu_s": round(seconds, 2), "dropped": given - kept}))
