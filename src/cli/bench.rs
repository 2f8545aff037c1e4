//! The commands that measure.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The parts that can be measured.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Measure a signaling server on this machine with thousands of gateways: the memory of each
    /// idle connection, the times of session set-ups, and a restart. The server is started for
    /// that, with an empty data folder.
    Signal(Signal),
}

#[derive(Debug, Args)]
pub struct Signal {
    /// Program to measure [default: this one].
    #[arg(long, value_name = "PATH")]
    pub porthole: Option<PathBuf>,
    /// Number of gateways, each of which takes an open file of both processes [default: 20000, or
    /// as many as the limit of open files lets].
    #[arg(long, value_name = "N")]
    pub gateways: Option<usize>,
    /// Session set-ups per second.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub rate: u32,
    /// Seconds in which sessions are set up.
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub seconds: u64,
    /// Seconds without anything to do, before the memory is measured.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub calm: u64,
}
