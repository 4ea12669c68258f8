"""What a person does beside the pipeline: one module a make target, `python -m commands NAME …` (`__main__.py`)."""
