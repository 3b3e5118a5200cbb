//! Nothing: this package exists for its test targets, which run the `evenkeel` binary from outside.
