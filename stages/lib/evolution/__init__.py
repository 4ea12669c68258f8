"""Code Evol-Instruct (Luo et al. 2023, WizardCoder, arXiv 2306.08568, section 3): from a dataset to a harder one."""
