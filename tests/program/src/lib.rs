//! The program when something is wrong: see `tests/` for what is proven.
