//! The TURN server: sockets and threads.
