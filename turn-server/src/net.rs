//! This host's addresses, and its sockets.

pub(crate) mod addresses;
pub(crate) mod open_files;
pub(crate) mod sockets;
pub(crate) mod udp;
