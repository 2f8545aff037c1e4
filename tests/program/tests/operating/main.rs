//! What an operator does to a running TURN server, and what its settings do.

mod caller;
mod certificate;
mod house;
mod logs;
mod reload;
mod settings;
mod turn;
