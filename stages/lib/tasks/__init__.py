"""The tasks that a teacher is given: definitions and seed examples as data, and what is made of them."""
