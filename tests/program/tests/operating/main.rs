//! Operating a server: what its settings do, reloading them, its certificates and its logs.

mod admin_api;
mod backup;
mod certificate;
mod changes;
mod data_folder;
mod general_settings;
mod health;
mod logs;
mod manager;
mod public_port;
mod reload;
mod rotation;
mod session_limits;
mod signaling_server;
mod soak;
mod stopping;
mod systemd;
mod turn_alternate;
mod turn_client;
mod turn_over_tls;
mod turn_server;
mod turn_servers;
mod turn_settings;
