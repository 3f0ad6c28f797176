"""How the log's tables came to be, one step a file. A released step never changes; log tables are never rebuilt (that drops triggers)."""
