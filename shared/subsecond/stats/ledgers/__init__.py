"""Where the figures are kept and merged."""
