"""What several suites share: clocks, virtual time, fakes, processes, and how adapters are found."""
