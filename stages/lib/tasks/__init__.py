"""The teacher's tasks: definitions and seed examples as data, and the prompts and checks built from them."""
