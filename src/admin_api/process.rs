//! The metrics of the process itself.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use porthole_metrics::Exposition;
use tokio::runtime::Handle;

use crate::open_files;

/// The time at which the program was started, in seconds since 1970.
static STARTED_AT: OnceLock<u64> = OnceLock::new();

/// Returns the time of the first call.
fn started_at() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    *STARTED_AT.get_or_init(now)
}

/// Writes the metrics of the process.
pub fn write(out: &mut Exposition) {
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    out.gauges("porthole_build_info", "The program, by its version", &[(version, 1)]);
    let help = "Time at which the program was started, since 1970";
    out.gauge("porthole_start_time_seconds", help, started_at());
    let memory = resident_bytes().unwrap_or_default();
    out.gauge("porthole_resident_memory_bytes", "Memory in use", memory);
    out.gauge("porthole_open_files", "Open files and sockets", open_count().unwrap_or_default());
    let limit = open_files::soft_limit().unwrap_or_default();
    out.gauge("porthole_open_files_limit", "Most open files and sockets", limit);
    let tasks = Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
    out.gauge("porthole_tasks", "Tasks of the runtime that have not ended", tasks as u64);
}

/// Notes that the program starts now.
pub fn note_start() {
    started_at();
}

fn resident_bytes() -> Option<u64> {
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Finds the memory in use in a status of the kernel, which has it in KiB whatever the size of a
/// page is.
fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    resident.checked_mul(1024)
}

fn open_count() -> Option<u64> {
    u64::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_in_use_is_in_the_status() {
        for (status, expected) in [
            ("Name:\tporthole\nVmHWM:\t   9216 kB\nVmRSS:\t   8192 kB\n", Some(8_388_608)),
            ("Name:\tporthole\n", None),
            ("VmRSS:\t many kB\n", None),
        ] {
            assert_eq!(resident_in(status), expected, "{status}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_uses_memory_and_has_files() {
        assert!(resident_bytes().unwrap() > 1_000_000);
        let (count, limit) = (open_count().unwrap(), open_files::soft_limit().unwrap());
        assert!((3..=limit).contains(&count), "{count} {limit}");
    }
}
