//! Numbers that components count, and their text form: counters by label, histograms of times, and
//! the text format of Prometheus.
//!
//! A core counts in plain values of its own; a driver reads them and writes an [`Exposition`].
//!
//! Architecture invariant: the values of a label are those of an enum of ours, so that nobody else
//! can make series.

#![warn(missing_docs)]

mod exposition;
mod histogram;
mod tally;

pub use exposition::Exposition;
pub use histogram::TimeHistogram;
pub use tally::{Label, Tally};
