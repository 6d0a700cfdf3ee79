"""How often the semantic cache is wrong, learned from checks of its own hits, and what follows from it.

A check is a judge's verdict on a hit that was served, made later and off the path. `intervals` says what checks prove,
`accuracy` what a namespace has learned, `exclusions` which neighbourhoods answer nobody any more, `seeding` makes the
pairs on which the judge itself is measured. All of it is pure; docs/verified.md explains it.
"""
