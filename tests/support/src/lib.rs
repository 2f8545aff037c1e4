//! Code shared by the test crates.
//!
//! - [`lab`]: hosts, routers and NATs of every kind, made of network namespaces and nftables.
//! - [`nat`]: the kinds of NAT, in RFC 4787's words.
//! - [`seal`]: the browser's side of a sealed password.
//! - [`scene`]: the folder and the logs of one test, and the rule for skipping it.
//! - [`program`]: programs that a test starts, waits for and stops, with their output.
//! - [`porthole`]: the `porthole` program, driven by its flags.
//! - [`ports`]: free ports for programs that must be given one.
//! - [`http`]: single HTTP requests, from this machine or from a lab host.
//! - [`browser`]: Chromium, driven through the scripts in `tests/browser/driver`.
//! - [`watching`]: the dashboard with a picture, and when its frames came.
//! - [`turn_client`]: a TURN client on a real socket.
//! - [`path`]: the path of media: direct, relayed or inside the LAN.
//! - [`cameras`]: video sources of other projects.
//! - [`clip`]: cameras that send a clip which was encoded before.
//! - [`onvif`]: fake ONVIF cameras.
//! - [`python`]: a Python interpreter with packages from PyPI.
//! - [`home_assistant`]: Home Assistant, in a root file system of its own.
//! - [`debian`]: machines of the lab with a bare Debian of their own.
//! - [`memory`]: the memory of a program, for what must never be in it.
//! - [`metrics`]: a strict reader of metrics, and their reference.
//! - [`disk`]: a disk that can be filled.
//! - [`viewer`]: the native viewer.
//! - [`wait`]: waiting for a condition, with a deadline.
//!
//! Architecture invariant: nothing here knows Porthole's internals. A test drives the program as
//! its users do: by flags, HTTP and a browser.

#![warn(missing_docs)]

pub mod browser;
pub mod cameras;
pub mod clip;
pub mod debian;
pub mod disk;
pub mod home_assistant;
pub mod http;
pub mod lab;
pub mod memory;
pub mod metrics;
pub mod nat;
mod npm;
pub mod onvif;
pub mod path;
pub mod porthole;
pub mod ports;
pub mod program;
pub mod python;
pub mod scene;
pub mod seal;
pub mod turn_client;
pub mod viewer;
pub mod wait;
pub mod watching;
