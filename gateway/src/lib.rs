//! The gateway: sockets, ingest and the driver loop.
