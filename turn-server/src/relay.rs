//! Relayed transport addresses for UDP: the sockets behind them, and channels relayed in the kernel.

pub(crate) mod offload;
pub(crate) mod sockets;
