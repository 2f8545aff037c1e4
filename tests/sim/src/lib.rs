//! A network in memory: the production cores are its actors, its clock is virtual, and all chance
//! comes from one seed, so that a failure repeats for as long as it takes to understand it.
//!
//! - [`nat`]: NATs as RFC 4787 names them. [`network`]: hosts, sites, links with delay, jitter,
//!   loss. [`server`]: the real STUN/TURN server behind them.
//! - [`peer`]: a real ICE agent with real STUN and TURN clients, trickling over a signaling link.
//! - [`world`]: what happens when. [`scenario`]: two peers and what they must reach.
//!
//! Architecture invariant: nothing in here sleeps, opens a socket or reads a clock twice.

pub mod nat;
pub mod network;
pub mod peer;
pub mod scenario;
pub mod server;
pub mod world;
