"""The command `derivations`: parser and ledger commands in cli, study commands in study, what they share in options."""
