"""Exact greedy k-center selection: rows that spread over a set of vectors.

Call `k_center_greedy`. greedy.py has the algorithm, cpu.py and gpu.py (kernels.cu) the device code, exact.py the ties,
world.py the processes over which the rows are spread, pieces.py the choice part by part or with quotas, alternatives.py
the methods it is compared with, projection.py the picture. docs/coreset.md has the method, the proof of its error
bound, and measurements.
"""

from stages.lib.kcenter.greedy import Selection, covering_radii, k_center_greedy
from stages.lib.kcenter.world import split_rows

__all__ = ["Selection", "covering_radii", "k_center_greedy", "split_rows"]
