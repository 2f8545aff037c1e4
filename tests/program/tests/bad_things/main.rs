//! Bad things: each gets one clear sentence, told to whoever can act, and leaves the rest running.

mod configuration;
mod credentials;
mod disk;
mod garbage;
mod house;
mod ports;
mod sources;
mod websocket;
mod words;
