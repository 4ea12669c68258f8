"""Tidemill's datasets from Python.

    import tidemill

    rows = tidemill.open("data/dataset")     verified byte by byte
    rows.to_datasets()["train"]              a datasets.Dataset
    rows.to_pandas()                         a DataFrame of all splits
    rows.trace(rows[0]["id"])                where a row comes from, back to its function
    rows.verify()                            hash every byte once more
    rows.export("rows.jsonl", "messages")    or "sharegpt", "prompt-completion", "reward", "harbor"
    tidemill.Reward()                        a reward for TRL's GRPOTrainer: "reward"'s tests, in the sandbox

`pip install -e .` makes it importable from everywhere; docs/python.md has more.
"""

from stages.lib.artifacts import Damaged
from stages.lib.errors import BadInput
from tidemill.dataset import Dataset, open
from tidemill.forms import FORMS
from tidemill.lineage import Link
from tidemill.reward import Reward

__all__ = ["FORMS", "BadInput", "Damaged", "Dataset", "Link", "Reward", "open"]
