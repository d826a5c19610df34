//! See `tests/feature_off.rs`.
