"""The log, and what is kept beside it: events become entries, durable, dense, ordered and sealed.

`entry` is the format of what is stored, for ever; `merkle` seals it, `tree` and `proofs` prove what is in it, `checkpoints` say
so as signed `notes`, and a `witness` holds a log to them; `tiles`, `tlog_proofs` and `award_heads` are for others. `store`
opens the databases (the log with its vault, the read models, what is kept beside them), `schema` and `migrations` make their
tables. `log` is the one place where the log's SQL is, and `wire` says it; `vault` keeps what may have to go (L5), `randomness`
makes its salts; `failures` says when a database cannot be used, and why. `reading` reads stored events, `facts` shows the rules
what they may know, `states` remembers folded streams, `deciders` decide commands, `writer` commits many at once. `ledger` is
the facade that everything above uses. `recorder` and `persistence` are the same log in the words of the `eventsourcing`
library, for whoever wants to attach a projection of their own; `crowd` commits together what their threads record at once.
`roots` works the whole log out anew, `backup` keeps it in a file, `inspection` names whatever does not hold in a database, both
from a `snapshot`. `recheck` decides everything again from what was recorded. `published_head` tells others how far the log
went, `disclosures` keep who was told what, and `alone` lets one of several processes do something. `durable_file` writes files
that last, `garbage` has Python look for it later. `yardsticks` are what the log is measured beside.

Imported: `domain`, SQLAlchemy, alembic, cryptography, orjson, `eventsourcing`. Not imported: `projections`, `api`, anything
that speaks HTTP or reads the environment.
"""
