//! Failures: each is reported in one clear sentence to whoever can act on it, and everything else
//! keeps running.

mod configuration;
mod credentials;
mod disk;
mod garbage;
mod installation;
mod killing;
mod ports;
mod process;
mod sentence;
mod sources;
mod websocket;
