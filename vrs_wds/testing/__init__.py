"""For the tests of this package, and of those that use it: made-up data, suites, proofs."""
