"""Try before you trust: how often a policy answers what it may, and what it must not, on a file of one's own.

`command` is the command line; `rows` reads files; `setting` picks policy and embedder; `decisions` judges pairs and
conversations; `stream` runs questions through a cache; `search` times the stage; `figures` and the charts say what came
of it. All but `command` can be called from other programs.
"""
