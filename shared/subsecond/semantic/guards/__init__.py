"""Whether a stored answer may serve another text: pure, table-driven, and without a clock."""
