"""Named comparisons: a matrix of runs of the pipeline, each a DVC experiment, and one page that compares them."""
