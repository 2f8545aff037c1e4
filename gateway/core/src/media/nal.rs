//! NAL units of H.264 and H.265: how RTP payloads carry them, and what parameter sets say.
//!
//! [`unit`] has the types, [`h264`] and [`h265`] read one codec each, [`payload`] chooses between
//! the two. Above it, [`parameter_sets`] keeps a camera's parameter sets [`start_code`] finds the
//! units that a camera hides in others, and [`packetize`] makes payloads.

mod bits;
mod h264;
mod h265;
pub(crate) mod packetize;
pub(crate) mod parameter_sets;
pub(crate) mod payload;
pub(crate) mod slice;
pub(crate) mod start_code;
pub(crate) mod unit;
