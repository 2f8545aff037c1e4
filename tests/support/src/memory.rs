//! The memory of a running program, for what must never be in it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result};

/// Number of bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// Returns true if the writable memory of a process contains the bytes. Needs the right to trace
/// it, as root has.
///
/// # Errors
///
/// Fails if the process is gone or may not be read.
pub fn contains(pid: u32, wanted: &[u8]) -> Result<bool> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).context("no such process")?;
    let memory = File::open(format!("/proc/{pid}/mem")).context("it may not be read")?;
    let mut ranges = maps.lines().filter(|line| line.contains(" rw")).filter_map(range);
    Ok(ranges.any(|(start, end)| region_contains(&memory, start, end, wanted)))
}

/// Reads the addresses of a line of `/proc/PID/maps`.
fn range(line: &str) -> Option<(u64, u64)> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((address(start)?, address(end)?))
}

/// Returns true if the part of the memory contains the bytes. The kernel's own parts cannot be
/// read, and the process may give memory back meanwhile: a part ends where reading fails.
fn region_contains(memory: &File, start: u64, end: u64, wanted: &[u8]) -> bool {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; CHUNK];
    let mut at = start;
    while at < end {
        let len = CHUNK.min(usize::try_from(end - at).unwrap_or(CHUNK));
        let Ok(read) = memory.read_at(&mut chunk[..len], at) else { break };
        if read == 0 {
            break;
        }
        // The end of the chunk before, in which the bytes may begin.
        bytes.drain(..bytes.len().saturating_sub(wanted.len()));
        bytes.extend_from_slice(&chunk[..read]);
        if bytes.windows(wanted.len()).any(|window| window == wanted) {
            return true;
        }
        at += read as u64;
    }
    false
}
