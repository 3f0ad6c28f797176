"""What an auditor takes home: a program that needs nothing of ours, and how to use it.

`verify.py` and `README.txt` are put into every audit pack as they stand here. The program imports nothing but the standard
library and `cryptography`, and works everything out again by itself: nothing in it may be shared with the code that it checks.
"""
