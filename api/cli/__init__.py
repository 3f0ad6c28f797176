"""The command line, `lcledger`."""
