//! The signaling server's pure core.
