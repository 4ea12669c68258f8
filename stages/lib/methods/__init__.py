"""The methods of generation: what a row is made from, and how the teacher is asked to make it.

A method is a folder here: method.yaml (rules and examples), and Jinja templates where its prompts are not the tasks'
own. docs/extending.md says how to add one.
"""
