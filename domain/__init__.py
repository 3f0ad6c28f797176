"""The rules: facts in, decision out.

Here stands what an award, a claim, an assessment, a payment *is* and what may happen to it, in the words and with the rule
numbers (M1, L1, …) of the contract that the README's glossary sums up. Modules are singular nouns; each holds its events, its
state, its commands and the refusals that they raise.

Imported: Pydantic and the standard library, nothing else. Not here: a clock, a database, randomness, HTTP, the log.
"""
