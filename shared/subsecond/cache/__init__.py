"""Rules of the cache: what is equal, what may be stored and for how long, what is invalidated. No store is in here."""
