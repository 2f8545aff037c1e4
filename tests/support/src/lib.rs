//! What the test crates share.
//!
//! - [`lab`]: hosts, routers and NATs of every kind, out of network namespaces and nftables.
//! - [`nat`]: the kinds of NAT, in RFC 4787's words.
//! - [`scene`]: one test's folder, logs and skip rule.
//! - [`program`]: a program started, awaited, stopped, its output kept.
//! - [`porthole`]: the `porthole` program, by its flags.
//! - [`ports`]: ports for programs that must be told one.
//! - [`http`]: one request, from the machine or from inside a lab host.
//! - [`browser`]: Chromium, driven through the scripts in `tests/browser/driver`.
//! - [`path`]: direct, relayed or inside the LAN.
//! - [`cameras`]: real sources of video, from other projects.
//! - [`python`]: packages from PyPI that are clients of ours.
//! - [`disk`]: a disk that can be filled.
//! - [`viewer`]: the native viewer.
//!
//! Architecture invariant: nothing here knows Porthole's internals. A test drives the program as
//! its users do: by flags, HTTP and a browser.

pub mod browser;
pub mod cameras;
pub mod disk;
pub mod http;
pub mod lab;
pub mod nat;
pub mod path;
pub mod porthole;
pub mod ports;
pub mod program;
pub mod python;
pub mod scene;
pub mod viewer;
pub mod wait;
