"""Single-flight: one upstream call for many who ask the same at once.

in_process   in this process: the answer on its way, and those who watch it
lease        across environments: whose turn it is to ask, by a lease
"""
