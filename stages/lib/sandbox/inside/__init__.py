"""What runs inside the walls: the candidate's side and the tests' side of the wire between them.

Nothing here imports the rest of Tidemill: inside, there is this folder and a Python.
"""
