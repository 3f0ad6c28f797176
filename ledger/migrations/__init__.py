"""How the log's tables came to be, one step a file.

A released step never changes, and log tables are never rebuilt (alembic's batch mode drops triggers without a word).
"""
