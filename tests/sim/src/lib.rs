//! A simulated network in memory: production cores are its actors, its clock is virtual, and all
//! randomness comes from one seed, so that every failure can be repeated.
//!
//! - [`nat`]: NATs in the terms of RFC 4787. [`network`]: hosts, sites, links with delay, jitter
//!   and   loss. [`server`]: the production STUN/TURN server.
//! - [`peer`]: the production ICE agent with the production STUN and TURN clients, trickling over a
//!   simulated signaling link.
//! - [`world`]: the event loop of a simulation. [`scenario`]: two peers and their surroundings.
//!
//! Architecture invariant: nothing in here sleeps, opens a socket, or reads the clock more than
//! once for each world.

#![warn(missing_docs)]

pub mod nat;
pub mod network;
pub mod peer;
pub mod scenario;
pub mod server;
pub mod world;
