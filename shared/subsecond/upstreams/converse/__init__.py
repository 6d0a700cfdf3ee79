"""Bedrock's Converse API: OpenAI's calls as its requests, and its answers as OpenAI's. Pure. docs/bedrock.md has the
mapping as a table."""
