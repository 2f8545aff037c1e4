//! RTP and RTCP for one viewer (RFC 3550, 4585, 4588, 5104).
//!
//! A [`Sender`] renumbers the camera's packets for one viewer, retransmits the lost ones and
//! handles the viewer's RTCP. It works on plain packets: SRTP is applied outside.
//!
//! Architecture invariant: no payload is copied before it is written out, nothing here knows a
//! camera, and what is kept for a viewer is bounded by count and by age.

mod clock;
mod header;
mod history;
mod pacer;
pub mod rtcp;
mod sender;
mod sequence;
mod timeline;

use std::time::Duration;

pub use clock::{Clock, NtpTime};
pub(crate) use header::stamp;
pub use header::transport_number;
pub use pacer::{Pace, Pacer};
pub use sender::{Feedback, ReceptionReport, Sender, SenderConfig, SenderStatistics};

/// Interval of sender reports: RFC 3550 §6.2 allows less than 5 s for a profile with
/// feedback (RFC 4585 §3.4); browsers use a second, and statistics on a screen need no less.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
