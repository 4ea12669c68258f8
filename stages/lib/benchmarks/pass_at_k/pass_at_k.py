"""pass@k by the unbiased estimator, as a metric: `evaluate.load("stages/lib/benchmarks/pass_at_k")`."""

from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

_CITATION = """\
@article{chen2021evaluating,
  title={Evaluating Large Language Models Trained on Code},
  author={Mark Chen and others},
  journal={arXiv:2107.03374},
  year={2021}
}
"""
_INPUTS = """\
Args:
    predictions: how many samples of each problem passed.
    references: how many samples of each problem there are.
    k: for which k; one that some problem has fewer samples than is left out, as it has no unbiased estimate.
Returns:
    "pass@k" for each k: the mean over the problems.
Example:
    >>> evaluate.load("stages/lib/benchmarks/pass_at_k").compute(predictions=[5, 0], references=[10, 10], k=[1])
    {'pass@1': 0.25}
"""


def estimate(total: int, passed: int, k: int) -> float:
    """The unbiased estimate of pass@k from `passed` of `total` samples of one problem.

    1 - C(total - passed, k) / C(total, k), as the product that does not overflow (Chen et al. 2021, section 2.1).
    """
    if total - passed < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(total - passed + 1, total + 1)))


class PassAtK(evaluate.Metric):
    """The share of problems that at least one of k samples solves."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=str(__doc__),
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
            reference_urls=["https://arxiv.org/abs/2107.03374"],
        )

    def _compute(
        self, predictions: Sequence[int], references: Sequence[int], k: Sequence[int] = (1,)
    ) -> dict[str, float]:
        counts = list(zip(references, predictions, strict=True))
        wrong = next(((total, passed) for total, passed in counts if not 0 <= passed <= total), None)
        if wrong:
            raise ValueError(f"{wrong[1]} of {wrong[0]} samples cannot have passed")
        fewest = min(references)
        return {
            f"pass@{number}": float(np.mean([estimate(total, passed, number) for total, passed in counts]))
            for number in k
            if number <= fewest
        }
