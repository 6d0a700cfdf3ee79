"""Measures how often a policy answers what it may, and what it must not, on a file of your own.

`command` is the command line; `rows` reads files; `setting` picks policy and embedder; `decisions` judges pairs and
conversations; `stream` runs questions through a cache; `search` times the stage; `figures` and the charts make
the report. All but `command` can be called from other programs.
"""
