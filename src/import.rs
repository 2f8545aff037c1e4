//! `porthole import`: the cameras in a configuration of go2rtc, Frigate or MediaMTX.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use porthole_gateway::import::{Entry, Import, Login, Place};
use porthole_gateway::{Skipped, add_imported, import};

use crate::config::Config;
use crate::{cli, console, data};

/// Prints the cameras of a file, and adds them if that is wanted.
pub fn run(config: &Config, flags: &cli::Import) -> anyhow::Result<()> {
    let bytes = read(&flags.file)?;
    let import =
        import::read(&bytes).with_context(|| format!("cannot take {}", flags.file.display()))?;
    for line in report(&import) {
        console::print_line(line)?;
    }
    let entries: Vec<&Entry> = import.entries.iter().filter(|entry| entry.wanted).collect();
    ensure!(!entries.is_empty(), "there is no camera in this file that can be added");
    let cameras = entries.len();
    let question = format_args!("Add the cameras that are taken (at most {cameras})?");
    let adds = flags.add || console::can_ask() && console::ask(question)?;
    if !adds {
        return console::print_line("nothing was added: add --add for that");
    }
    add(config, &entries)
}

/// Reads a file, and at most a byte more than one may have.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(failed)?;
    let limit = u64::try_from(import::MAX_BYTES + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).with_context(failed)?;
    Ok(bytes)
}

/// Returns the lines about the cameras of a file, without passwords.
fn report(import: &Import) -> Vec<String> {
    let cameras = import.entries.len();
    let plural = if cameras == 1 { "" } else { "s" };
    let mut lines =
        vec![format!("a configuration of {}: {cameras} camera{plural}", import.program)];
    for entry in &import.entries {
        lines.push(format!("  {}: {}", entry.name, told(entry)));
        let notes = entry.notes.iter().filter(|note| !note.is_failure());
        lines.extend(notes.map(|note| format!("      {note}")));
    }
    if import.left_out > 0 {
        lines.push(format!("  {} more are left out: there are too many", import.left_out));
    }
    lines
}

fn told(entry: &Entry) -> String {
    let place = match &entry.place {
        Some(Place::Streams { main, sub: Some(sub), .. }) => format!("{main}, sub stream {sub}"),
        Some(place) => place.address(),
        None => {
            let reason = entry.notes.iter().find(|note| note.is_failure());
            let reason = reason.map(ToString::to_string).unwrap_or_default();
            return format!("not taken: {reason}");
        }
    };
    match entry.login {
        Login::Known(_) => format!("{place}, with user and password"),
        Login::Open | Login::Missing => place,
    }
}

fn add(config: &Config, entries: &[&Entry]) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    let configured = config.camera.keys().cloned().collect();
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let outcomes = add_imported(&config.data, entries, &configured, since_1970.as_secs())?;
    let mut added = 0;
    for (entry, outcome) in entries.iter().zip(&outcomes) {
        let name = &entry.name;
        match outcome {
            Ok(id) => {
                added += 1;
                console::print_line(format_args!("added {name} as {id}"))?;
            }
            Err(skipped) => print_skipped(name, *skipped)?,
        }
    }
    ensure!(added > 0, "no camera was added");
    console::print_line("start the gateway, and look at them in the dashboard")
}

fn print_skipped(name: &str, skipped: Skipped) -> anyhow::Result<()> {
    console::print_line(format_args!("not added: {name}: {skipped}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_every_camera_and_no_password() {
        let file = "streams:
  yard: rtsp://ada:geheim@192.0.2.1/1?password=geheim
  yard_sub: rtsp://ada:geheim@192.0.2.1/2
  old: http://ada:geheim@192.0.2.2/
  attic: rtsp://ada:${PASSWORD}@192.0.2.3/
";
        let lines = report(&import::read(file.as_bytes()).unwrap());
        let beginnings = [
            "a configuration of go2rtc: 3 cameras",
            "  yard: rtsp://192.0.2.1/1?password=***, sub stream rtsp://192.0.2.1/2, with user and",
            "  old: not taken: it is fetched over HTTP",
            "  attic: rtsp://192.0.2.3/",
            "      its password is the variable PASSWORD",
        ];
        assert_eq!(lines.len(), beginnings.len(), "{lines:#?}");
        for (line, beginning) in lines.iter().zip(beginnings) {
            assert!(line.starts_with(beginning) && !line.contains("geheim"), "{line}");
        }
    }
}
