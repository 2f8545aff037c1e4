//! Checks of the machine itself: files, disk, open files, memory of sockets.

use std::fs;
use std::path::Path;

use super::Patient;
use super::finding::Finding;
use crate::{data, open_files};

/// Free space below which a database may soon fail to write: its log and the copy that an upgrade
/// makes.
const LOW_DISK_BYTES: u64 = 512 << 20;
const NO_DISK_BYTES: u64 = 16 << 20;
/// Open files below which a server refuses clients that a small installation has: each connection
/// and each relayed address takes one.
const FEW_FILES: usize = 4096;
/// Receive buffer of a socket that outlasts a pause of 50 ms at 20 000 packets/s of 1200 bytes.
const BUFFER_BYTES: u64 = 1 << 20;
/// The setting of the kernel that limits it.
const BUFFER_SETTING: &str = "/proc/sys/net/core/rmem_max";
/// Checks files and limits.
pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = vec![configuration(patient), secrets(patient)];
    findings.push(data_folder(&patient.config.data));
    findings.extend(disk(&patient.config.data));
    if patient.has_signaling() || patient.has_turn() {
        findings.extend(files(open_files::hard_limit()));
    }
    findings.extend(buffers(fs::read_to_string(BUFFER_SETTING).ok().as_deref()));
    findings
}

fn configuration(patient: &Patient<'_>) -> Finding {
    let text = match patient.file {
        Some(file) => format!("{} is valid", file.display()),
        None => "there is no file; the defaults, the environment and flags apply".to_owned(),
    };
    Finding::ok("configuration", text)
}

fn secrets(patient: &Patient<'_>) -> Finding {
    let readable = data::readable_secrets(patient.config, patient.file);
    let names: Vec<_> = readable.iter().map(|path| path.display().to_string()).collect();
    if names.is_empty() {
        return Finding::ok("secrets", "only their owner can read them");
    }
    let names = names.join(" ");
    let text = format!("every user of this machine can read {names}");
    Finding::failure("secrets", text, format!("make them private: chmod 600 {names}"))
}

fn data_folder(folder: &Path) -> Finding {
    let name = folder.display();
    if !folder.exists() {
        return Finding::ok("data folder", format!("{name} will be created on the first start"));
    }
    match data::prepare(folder) {
        Ok(()) => Finding::ok("data folder", format!("{name} can be written to")),
        Err(error) => Finding::failure(
            "data folder",
            format!("{error:#}"),
            "run the doctor as the user who runs Porthole, such as: sudo -u porthole",
        ),
    }
}

/// Checks the free space where the data folder is, or will be.
fn disk(folder: &Path) -> Option<Finding> {
    let existing = folder.ancestors().find(|folder| folder.exists())?;
    Some(free_space(existing, data::free_bytes(existing)?))
}

fn free_space(folder: &Path, bytes: u64) -> Finding {
    let text = format!("{} MB are free in {}", bytes >> 20, folder.display());
    let advice = "make room, or choose another data folder with --data";
    match bytes {
        0..NO_DISK_BYTES => Finding::failure("disk", text, advice),
        NO_DISK_BYTES..LOW_DISK_BYTES => Finding::warning("disk", text, advice),
        LOW_DISK_BYTES.. => Finding::ok("disk", text),
    }
}

fn files(limit: Option<usize>) -> Option<Finding> {
    let limit = limit?;
    let text = format!("{limit} may be open at a time");
    Some(if limit >= FEW_FILES {
        Finding::ok("open files", text)
    } else {
        let advice = "each connection takes one, and each relayed address: set LimitNOFILE=65536 \
                      in the systemd unit, or ulimit -n 65536 before the start";
        Finding::warning("open files", text, advice)
    })
}

fn buffers(setting: Option<&str>) -> Option<Finding> {
    let bytes: u64 = setting?.trim().parse().ok()?;
    let text = format!("a socket can hold {} kB that have not been read", bytes >> 10);
    Some(if bytes >= BUFFER_BYTES {
        Finding::ok("socket buffers", text)
    } else {
        let advice = format!(
            "a busy moment may lose packets: sysctl -w net.core.rmem_max={} and the same in \
             /etc/sysctl.d/porthole.conf",
            4 * BUFFER_BYTES
        );
        Finding::warning("socket buffers", text, advice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn little_space_is_a_warning_and_none_a_failure() {
        for (bytes, expected) in [
            (0, Level::Failure),
            (NO_DISK_BYTES - 1, Level::Failure),
            (NO_DISK_BYTES, Level::Warning),
            (LOW_DISK_BYTES, Level::Ok),
            (u64::MAX, Level::Ok),
        ] {
            assert_eq!(free_space(Path::new("/"), bytes).level, expected, "{bytes}");
        }
    }

    #[test]
    fn limits_that_the_machine_does_not_have_are_left_out() {
        assert_eq!(files(None), None);
        assert_eq!(buffers(None), None);
        assert_eq!(buffers(Some("many")), None);
        for (limit, expected) in [(1024, Level::Warning), (65_536, Level::Ok)] {
            assert_eq!(files(Some(limit)).map(|found| found.level), Some(expected), "{limit}");
        }
        for (text, expected) in [("212992\n", Level::Warning), ("4194304\n", Level::Ok)] {
            assert_eq!(buffers(Some(text)).map(|found| found.level), Some(expected), "{text}");
        }
    }
}
