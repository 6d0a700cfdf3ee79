"""The stages of a request, a module each; `pipeline.py` says in which order."""
