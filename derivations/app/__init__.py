"""The command `derivations`: parser and ledger commands in cli, study commands in study, shared functions in options."""
