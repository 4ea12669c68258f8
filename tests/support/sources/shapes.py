import math


@staticmethod
def ring_area(outer, inner):
    """The area between two circles.

    Both radii are in metres.
    """
    if inner > outer:
        raise ValueError("inner circle is larger")
    return math.pi * (outer**2 - inner**2)


class Shelf:
    def __init__(self, width):
        self.width = width
        self.books = []

    async def place(self, book):
        r"""Put a \book on the shelf."""
        # thickness is in millimetres
        taken = sum(other.thickness for other in self.books)
        text = """
no indentation here
"""
        return taken + book.thickness <= self.width, text

    def only_documented(self):
        """Nothing but words."""

    def one_liner(self):
        return 1
