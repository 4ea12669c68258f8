"""Generation methods: what a row is made from, and how the teacher is asked for it.

A method is a folder here: method.yaml (rules and examples), and Jinja templates if it does not use the tasks' prompts.
docs/extending.md explains how to add one.
"""
