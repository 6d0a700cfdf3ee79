"""The semantic index: nearest neighbours inside one scope, from matrices on S3 that many writers share."""
