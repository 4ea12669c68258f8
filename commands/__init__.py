"""What a person does besides running the pipeline: one module per make target, run by `python -m commands NAME …`."""
