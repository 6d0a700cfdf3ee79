"""Single-flight: one upstream call for many who ask the same at once.

flight    in this process: the answer on its way, and those who watch it
claim     across environments: whose turn it is to ask, by a lease
leases    where leases are kept, a file for each store
"""
