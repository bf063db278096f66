"""Filters: a flow.FlowFilter compiled to a function from rows to a mask.

Semantics are Hubble's: in one filter every set field must match, the values of a field are
alternatives; filters of a list are alternatives; a blacklist takes away. An empty whitelist lets
all pass, an empty filter matches everything. Loss notices pass whatever the filters say.
"""
