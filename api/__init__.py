"""The ledger for those outside: HTTP, webhooks, the command line, pages. A request becomes a command; a row becomes an answer.

Here stand the settings (the only place that reads the environment), the logs, who may ask (identity), how refusals are told,
how long a client may take (connections, requests), what nearly every request looks up (lookups), with which key the log is
signed (signing), and how webhooks are challenged, signed and sent (challenges, webhook_signatures, delivering, outgoing).
Modules are plural nouns, as the addresses are; those of the command line are in `cli`.

Imported: everything below. Not here: a rule (that is `domain`), SQL (that is `ledger` and `projections`).
"""
