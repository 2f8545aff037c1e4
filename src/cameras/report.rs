//! The reports about cameras: lines for people, JSON for programs, and the lines for the
//! configuration file. None of them contains a password.

use std::fmt::Write as _;

use porthole_gateway::onvif::{Camera, Device, Finding, Information, Measured, Stream};
use serde_json::{Value, json};

use super::shown;
use crate::console;

/// The text in place of the password in the lines for the configuration file.
const PLACEHOLDER: &str = "PASSWORD";

/// Findings that are failures although there are cameras.
const ABOUT_STREAMS: [&str; 3] = ["rtsp-off", "separate-user", "no-picture"];

/// Writes the line of a device that has answered.
pub(super) fn device_line(device: &Device) -> String {
    let address = shown(device.from.ip());
    let names = [&device.vendor, &device.model, &device.name];
    let mut words: Vec<&str> = Vec::new();
    for name in names.into_iter().flatten() {
        // The name often consists of the other two.
        if !words.iter().any(|word| name.contains(word) && words.len() > 1) {
            words.push(name);
        }
    }
    format!("{address:<15}  {}", words.join("  ")).trim_end().to_owned()
}

/// Writes the devices as JSON, in the order in which they answered first.
pub(super) fn devices_json(devices: &mut [Device]) -> anyhow::Result<String> {
    devices.sort_by_key(|device| device.number);
    let cameras: Vec<Value> = devices
        .iter()
        .map(|device| {
            json!({
                "address": shown(device.from.ip()),
                "service": device.service.as_ref().map(ToString::to_string),
                "uuid": device.uuid,
                "mac": device.mac,
                "vendor": device.vendor,
                "model": device.model,
                "name": device.name,
            })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&json!({ "cameras": cameras }))?)
}

/// The results of a probe. Unless the report is JSON, it is printed as it is found.
#[derive(Debug)]
pub(super) struct ProbeReport {
    host: String,
    user: Option<String>,
    prints: bool,
    findings: Vec<Finding>,
    information: Information,
    cameras: Vec<Camera>,
    measured: Vec<(String, Measured)>,
}

impl ProbeReport {
    pub(super) fn new(host: String, user: Option<String>, prints: bool) -> Self {
        Self {
            host,
            user,
            prints,
            findings: Vec::new(),
            information: Information::default(),
            cameras: Vec::new(),
            measured: Vec::new(),
        }
    }

    /// Returns the host that was asked.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Returns true if a host is the one that was asked.
    pub(super) fn is_device(&self, host: &str) -> bool {
        host.eq_ignore_ascii_case(&self.host)
    }

    /// Returns the cameras that were found.
    pub(super) fn cameras(&self) -> &[Camera] {
        &self.cameras
    }

    /// Returns true if the device is there and does not speak ONVIF.
    pub(super) fn has_no_onvif(&self) -> bool {
        self.findings.iter().any(|finding| matches!(finding, Finding::NoOnvif { .. }))
    }

    fn print(&self, line: &str) -> anyhow::Result<()> {
        if self.prints { console::print_line(line) } else { Ok(()) }
    }

    /// Takes a finding.
    pub(super) fn handle_finding(&mut self, finding: Finding) -> anyhow::Result<()> {
        let mark = if finding.is_failure() { "FAIL" } else { "note" };
        self.print(&format!("{mark}  {finding}"))?;
        self.findings.push(finding);
        Ok(())
    }

    /// Takes the properties of the device; prints what is new.
    pub(super) fn handle_device(&mut self, information: Information) -> anyhow::Result<()> {
        let names = [&information.vendor, &information.model, &information.firmware];
        let names: Vec<&str> = names.into_iter().flatten().map(String::as_str).collect();
        if self.information == Information::default() && !names.is_empty() {
            self.print(&format!("ok    device   {}", names.join("  ")))?;
        }
        if let Some(mac) = information.mac.as_ref().filter(|_| self.information.mac.is_none()) {
            self.print(&format!("ok    MAC      {mac}"))?;
        }
        self.information = information;
        Ok(())
    }

    /// Takes a camera.
    pub(super) fn handle_camera(&mut self, camera: Camera) -> anyhow::Result<()> {
        self.print(&stream_line("main", &camera, &camera.main))?;
        if let Some(sub) = &camera.sub {
            self.print(&stream_line("sub", &camera, sub))?;
        }
        self.cameras.push(camera);
        Ok(())
    }

    /// Takes what was measured of a stream.
    pub(super) fn handle_measured(
        &mut self,
        name: &str,
        measured: &Measured,
    ) -> anyhow::Result<()> {
        let Measured { codec, width, height, .. } = measured;
        let rate = measured.frames_per_second.map(|rate| format!("  {rate:.1}/s"));
        let distance = measured.key_frame_distance_s;
        let distance = distance.map(|seconds| format!("  a key frame every {seconds:.1} s"));
        let (rate, distance) = (rate.unwrap_or_default(), distance.unwrap_or_default());
        self.print(&format!("ok    {name:<8} plays {codec}  {width}x{height}{rate}{distance}"))?;
        for finding in measured.findings(name) {
            self.handle_finding(finding)?;
        }
        self.measured.push((name.to_owned(), measured.clone()));
        Ok(())
    }

    /// Returns the finding because of which there is no picture of any camera.
    pub(super) fn failure(&self) -> Option<&Finding> {
        let mut failures = self.findings.iter().filter(|finding| finding.is_failure());
        failures.find(|finding| {
            let ends_all = self.cameras.is_empty() || ABOUT_STREAMS.contains(&finding.key());
            self.measured.is_empty() && ends_all
        })
    }

    /// Writes the lines for the configuration file.
    pub(super) fn configuration(&self) -> String {
        if self.cameras.is_empty() {
            return String::new();
        }
        let mut text = "\n# for the configuration file".to_owned();
        if self.user.is_some() {
            let _ = write!(text, "; write the password in place of {PLACEHOLDER}");
        }
        for camera in &self.cameras {
            let id = self.id(camera);
            let _ = write!(text, "\n[camera.{id}]");
            if let Some(name) = &camera.name {
                let _ = write!(text, "\nname = {}", toml_text(name));
            }
            let _ = write!(text, "\nsource = {}", toml_text(&self.source(&camera.main)));
            if let Some(sub) = &camera.sub {
                let _ = write!(text, "\nsub_source = {}", toml_text(&self.source(sub)));
            }
            text.push('\n');
        }
        text.trim_end().to_owned()
    }

    /// Returns an id for a camera: the model and the end of the address, which tell cameras apart.
    fn id(&self, camera: &Camera) -> String {
        let model = self.information.model.as_deref().unwrap_or("camera");
        let host = self.host.rsplit(['.', ':']).next().unwrap_or_default();
        let number =
            if self.cameras.len() > 1 { format!("-{}", camera.number) } else { String::new() };
        let text = format!("{model}-{host}{number}").to_lowercase();
        let mut id = String::new();
        for c in text.chars().take(48) {
            if c.is_ascii_alphanumeric() {
                id.push(c);
            } else if !id.ends_with('-') {
                id.push('-');
            }
        }
        id.trim_matches('-').to_owned()
    }

    /// Returns the address of a stream with the user, and a placeholder for the password.
    fn source(&self, stream: &Stream) -> String {
        let address = stream.address.to_string();
        match (&self.user, address.split_once("://")) {
            (Some(user), Some((scheme, rest))) => {
                format!("{scheme}://{}:{PLACEHOLDER}@{rest}", percent_encoded(user))
            }
            _ => address,
        }
    }

    /// Writes everything as JSON.
    pub(super) fn json(&self) -> anyhow::Result<String> {
        let stream = |stream: &Stream| {
            json!({
                "source": stream.address.to_string(),
                "codec": stream.encoding.name(),
                "width": stream.width,
                "height": stream.height,
                "frames_per_second": stream.frames_per_second,
                "key_frame_distance": stream.gov_length,
            })
        };
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "finding": finding.key(),
                    "failure": finding.is_failure(),
                    "sentence": finding.to_string(),
                })
            })
            .collect();
        let cameras: Vec<Value> = self
            .cameras
            .iter()
            .map(|camera| {
                json!({
                    "number": camera.number,
                    "name": camera.name,
                    "main": stream(&camera.main),
                    "sub": camera.sub.as_ref().map(stream),
                    "snapshot": camera.snapshot.as_ref().map(ToString::to_string),
                })
            })
            .collect();
        let streams: Vec<Value> = self
            .measured
            .iter()
            .map(|(name, measured)| {
                json!({
                    "stream": name,
                    "codec": measured.codec.to_string(),
                    "width": measured.width,
                    "height": measured.height,
                    "frames_per_second": measured.frames_per_second,
                    "key_frame_distance_s": measured.key_frame_distance_s,
                    "b_pictures": measured.has_b_pictures,
                })
            })
            .collect();
        let Information { vendor, model, firmware, serial, mac } = &self.information;
        let device = json!({
            "vendor": vendor, "model": model, "firmware": firmware, "serial": serial, "mac": mac,
        });
        let report = json!({
            "findings": findings, "device": device, "cameras": cameras, "measured": streams,
        });
        Ok(serde_json::to_string_pretty(&report)?)
    }
}

fn stream_line(which: &str, camera: &Camera, stream: &Stream) -> String {
    let number = camera.number;
    let codec = stream.encoding.name();
    let name = format!("{which} {number}");
    let size = if stream.width > 0 {
        format!("  {}x{}", stream.width, stream.height)
    } else {
        String::new()
    };
    let rate = stream.frames_per_second.map(|rate| format!("  {rate}/s")).unwrap_or_default();
    format!("ok    {name:<8} {codec}{size}{rate}  {}", stream.address)
}

/// Writes a text as TOML.
fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Encodes a name for the part of an address before the host.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
