"""The command `derivations`, in cli."""
