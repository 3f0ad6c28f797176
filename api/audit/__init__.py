"""What an auditor takes home: a program that needs nothing of ours, and how to use it.

`verify.py`, `books.py` and `README.txt` are put into every audit pack as they stand here. The first imports nothing but the
standard library and `cryptography`, the second the first; and they work everything out again by themselves: nothing in them may
be shared with the code that they check.
"""
