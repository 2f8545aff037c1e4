//! A viewer without a browser, for tests: the other end of a gateway's session.
//!
//! A [`ViewerSession`] answers a gateway's offer and receives its video over a
//! [`porthole_gateway_core::transport::PeerTransport`]. It decodes no picture: a [`Receiver`] puts
//! packets in order, requests lost ones and reports which frames arrived whole.

#![warn(missing_docs)]

mod answer;
mod arrivals;
pub mod link;
mod receiver;
mod session;

pub use answer::{AnswerError, Chosen};
pub use arrivals::Arrivals;
pub use receiver::{ReceivedFrame, Receiver, ReceiverConfig, ReceiverStatistics};
pub use session::{ViewerConfig, ViewerOutput, ViewerSession};
