//! UDP relaying: the sockets of relayed transport addresses, and channels relayed in the kernel.

pub(crate) mod offload;
pub(crate) mod sockets;
