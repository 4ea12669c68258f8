"""Exact greedy k-center selection: the rows that spread over a set of vectors.

`k_center_greedy` is the door. greedy.py holds the algorithm, cpu.py and gpu.py (kernels.cu) what it asks of a
device, exact.py the ties. docs/coreset.md has the method, the proof of its error bound, and the measurements.
alternatives.py has the choices that it is compared with.
"""

from stages.lib.kcenter.greedy import Selection, covering_radii, k_center_greedy, split_rows

__all__ = ["Selection", "covering_radii", "k_center_greedy", "split_rows"]
