//! The gateway's own cameras, as they survive what happens to a machine, and in people's hands.

mod camera;
mod control;
mod killing;
mod server;
