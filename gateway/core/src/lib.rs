//! The gateway's pure core.
