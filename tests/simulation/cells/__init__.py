"""A model of cells: a directory of tenants, two databases, and tenants that move between them while everything fails.

`docs/cells.md` describes the protocol. Nothing of it is in the program yet: the model shows that the protocol loses
nothing and doubles nothing, and which of its rules are needed for that. `python -m tests.simulation.cells` plays it.
"""
