"""The semantic index: vectors of stored questions in segments on S3, written by the indexer, searched by the gateway.

`segments` has the form in the object store, `writer` and `indexer` the commits, `compaction` the housekeeping, `reader`
what a gateway searches. docs/semantic-index.md describes the whole.
"""

# The attributes of an answer's item that its index entry is made of. Here, so that naming them loads no numpy.
INDEXED = ("pk", "scope", "vector", "embedder", "created", "expires", "used")
