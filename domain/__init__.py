"""The rules: facts in, decision out.

Here stands what an award, a claim, an assessment, a payment *is* and what may happen to it. Modules are singular nouns; each
holds its events, its state, its commands and the refusals that they raise. The rules, by the numbers under which code, tests
and messages cite them:

- M1 money is whole pence inside, a string with two places outside; quantities have at most four places; never a JSON number
- M2 of the agreed versions the one with the latest `effective_from` is in force; prices, windows, shares go by `achieved_on`,
  limits and maxima by the day of the decision
- M3 a line is worth price × quantity ÷ per, rounded once to pence, half away from zero
- M4 claimed = accepted + rejected + deferred on every line; a later decision is worth all accepted so far less what was valued
- M5 at verification, limits by participant and prerequisites refuse; at assessment, limits curtail in their order, by name
- M6 parts are the largest-remainder split of the cumulative amount G by exact shares, less the parts given so far
- M7 a payer is allotted its part, at most what is left of its maximum; the residual payer takes shortfalls, or nobody does
- M8 a clawback takes back what a line allotted, what was curtailed first; what is owed back is netted, recovered or written off
- M9 a back-dated version reverses what it changes whole and assesses it anew; only the difference is due or receivable
- M10 other payments need two persons, run through M6 and M7, and count against `year_amount` and `award_amount` alone
- M11 balances are sums of postings, and their identities hold after every event
- M12 accrued is what is verified and unpaid, and the undecided at each outcome's expected acceptance rate, limits aside
- L1 four eyes are those of two persons; L2 nothing twice; L3 nothing lost: recorded whole or refused without a trace
- L4 evidence is held by its hash; L5 what may have to go is never in the log; L6 reasons are a closed list

Imported: Pydantic and the standard library, nothing else. Not here: a clock, a database, randomness, HTTP, the log.
"""
