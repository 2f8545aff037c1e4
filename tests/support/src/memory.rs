//! The memory of running programs: its size, and what must never be in it.

use std::collections::BTreeMap;
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

/// The memory of a process in bytes, each shared page counted as its share (`Pss` of proc(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Memory that the process has allocated, alone or with others.
    pub allocated: u64,
    /// Mapped files, such as the program itself. Grows as more of the program is used, and when
    /// another process ends that had mapped them, too.
    pub files: u64,
}

/// Returns the memory of a process and its descendants by their part: `driver` for the process
/// itself, and the names that Chromium gives to its own, such as `renderer`.
///
/// # Errors
///
/// Fails if processes cannot be listed.
pub fn used_by_family(pid: u32) -> Result<BTreeMap<String, Used>> {
    let mut parts: BTreeMap<String, Used> = BTreeMap::new();
    for member in family(pid)? {
        let Some((part, used)) = part_of(member).zip(used_by(member)) else { continue };
        let part = parts.entry(if member == pid { "driver".to_owned() } else { part }).or_default();
        part.allocated += used.allocated;
        part.files += used.files;
    }
    Ok(parts)
}

/// Returns a process and its descendants, each before its children.
///
/// # Errors
///
/// Fails if processes cannot be listed.
pub fn family(pid: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(child) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        parents.extend(parent_of(child).map(|parent| (child, parent)));
    }
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    Ok(family)
}

/// Returns the parent of a process; `None` if the process is gone.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may have blanks in it.
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the part that a process has in Chromium: that of its flag `--type`.
fn part_of(pid: u32) -> Option<String> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    // Chromium joins the arguments of its processes with blanks.
    let flag = |name| line.split(['\0', ' ']).find_map(|flag| flag.strip_prefix(name));
    let part = flag("--utility-sub-type=").or(flag("--type=")).unwrap_or("browser");
    Some(part.split('.').next().unwrap_or(part).to_owned())
}

/// Returns the memory that a process uses; `None` if it is gone.
fn used_by(pid: u32) -> Option<Used> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let bytes = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024)
    };
    let allocated = bytes("Pss_Anon:")? + bytes("Pss_Shmem:")?;
    Some(Used { allocated, files: bytes("Pss_File:")? })
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
