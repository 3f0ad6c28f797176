"""The read models: entries become rows, rows become answers, as of any moment.

`views` is what is used from above: it follows the log, rebuilds and checks the read models, and holds one attribute for each of
them, by `following`, `folding`, `rebuilding` (some of it `abreast`, in a second process), `replay` and `watching`, which
compare them with the log. `projection` says what a projection is, `models` keeps their tables, `yardsticks` are what they are
measured beside. Each other module is a noun: what its rows are, which row an entry touches, what the row becomes, and what can
be asked of it. `balances` are sums of `postings`. `trails` are read from the log itself: what they say follows from each entry
alone, so that rows of their own could only lag behind or be wrong; `histories` step through it with the balances. `deliveries`
of webhooks are kept for good, and never made again.

Imported: `ledger`, `domain`, SQLAlchemy, orjson, `eventsourcing`. Not imported: `api`, anything that speaks HTTP or reads the
environment.
"""
