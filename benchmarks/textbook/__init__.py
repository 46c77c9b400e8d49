"""The textbook forms that peers ship: clear, correct and wasteful. The tests' oracle and the benchmarks' baseline."""
