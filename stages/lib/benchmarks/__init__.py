"""What the benchmarks ask and how they are scored."""
