//! The gateway's own cameras, as they survive what happens to a machine.

mod camera;
mod killing;
mod server;
