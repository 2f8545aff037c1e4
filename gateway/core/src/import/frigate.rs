//! Files of Frigate: the section `cameras`, and the section `go2rtc` that its inputs refer to.

use std::collections::BTreeSet;

use super::note::Note;
use super::source::{Found, Variables, bracketed, known_login, replaced};
use super::streams::{Line, Streams, source_lines};
use super::yaml::Node;
use super::{Entry, Login, MAX_ENTRIES, Place, go2rtc};

/// Maximum number of inputs of a camera that are looked at; most have two.
const MAX_INPUTS: usize = 16;

/// The port of ONVIF if the file has none.
const ONVIF_PORT: &str = "8000";

/// Returns the cameras of a file, and the number of those that are left out.
pub(super) fn read(root: &Node) -> (Vec<Entry>, usize) {
    let values = root.get("environment_vars").and_then(Node::map).into_iter().flatten();
    let values = values.filter_map(|(name, node)| Some((name, node.text()?))).collect();
    let server = root.get("go2rtc");
    let mut streams = Streams::new(server.and_then(go2rtc::port), Variables(values));
    let section = server.and_then(|server| server.get("streams"));
    streams.add_section(section);

    let mut reader = Reader { streams, used: BTreeSet::new() };
    let pairs: Vec<_> = root.get("cameras").and_then(Node::map).into_iter().flatten().collect();
    let cameras = pairs.iter().take(MAX_ENTRIES);
    let mut entries: Vec<_> = cameras.map(|(name, camera)| reader.entry(name, camera)).collect();
    let room = MAX_ENTRIES.saturating_sub(entries.len());
    entries.extend(reader.spare(section, room));
    (entries, pairs.len().saturating_sub(MAX_ENTRIES))
}

/// An input of a camera.
struct Input {
    roles: Vec<String>,
    found: Result<Found, Note>,
}

impl Input {
    fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|name| name.eq_ignore_ascii_case(role))
    }
}

struct Reader<'a> {
    streams: Streams<'a>,
    /// The streams of go2rtc that cameras refer to.
    used: BTreeSet<String>,
}

impl Reader<'_> {
    fn entry(&mut self, name: &str, camera: &Node) -> Entry {
        self.used.insert(name.to_owned());
        let mut inputs = self.inputs(camera);
        let live = self.live(camera);
        let named = self.streams.named(name).ok();
        let main = take_main(&mut inputs);
        let sub = inputs.iter().find(|input| input.has("detect") && input.found.is_ok());
        let sub = sub.and_then(|input| input.found.clone().ok());
        let is_detected_only = main.as_ref().is_some_and(|main| !is_full(main));
        let main = main.and_then(|main| main.found.ok());
        let best = live.iter().find(|live| main.as_ref().is_some_and(|main| is_better(live, main)));

        let shown = camera.text_of("friendly_name").unwrap_or(name);
        let (main, sub) = match (main, best) {
            // The stream for people is better than the one for detection.
            (Some(main), Some(live)) if is_detected_only => (Ok(live.clone()), Some(main)),
            (Some(main), live) => (Ok(main), sub.or_else(|| live.cloned())),
            (None, _) => (named.ok_or_else(|| first_problem(&inputs)), sub),
        };
        let mut entry = Entry::new(shown, main);
        if sub.is_some_and(|sub| !entry.add_sub(&sub)) {
            entry.notes.push(Note::OtherSub);
        }
        self.add_onvif(&mut entry, camera.get("onvif"));
        if camera.flag_of("enabled") == Some(false) {
            entry.wanted = false;
            entry.notes.push(Note::Disabled);
        }
        entry
    }

    fn inputs(&mut self, camera: &Node) -> Vec<Input> {
        let inputs = camera.get("ffmpeg").and_then(|ffmpeg| ffmpeg.get("inputs"));
        let inputs = inputs.map(Node::list).unwrap_or_default();
        let mut read = Vec::new();
        for input in inputs.into_iter().take(MAX_INPUTS) {
            let Some(path) = input.get("path") else { continue };
            let Some(text) = path.text() else { continue };
            let roles = input.get("roles").map(Node::list).unwrap_or_default();
            let roles = roles.into_iter().filter_map(Node::text).map(ToOwned::to_owned).collect();
            read.push(Input { roles, found: self.follow((text, path.line)) });
        }
        read
    }

    fn follow(&mut self, source: Line<'_>) -> Result<Found, Note> {
        self.used.extend(self.streams.reference(source));
        self.streams.follow(source)
    }

    /// Returns the streams that are shown to people.
    fn live(&mut self, camera: &Node) -> Vec<Found> {
        let Some(live) = camera.get("live") else { return Vec::new() };
        let named = live.get("streams").and_then(Node::map).into_iter().flatten();
        let names = named.filter_map(|(_, name)| name.text()).chain(live.text_of("stream_name"));
        let names: Vec<&str> = names.take(MAX_INPUTS).collect();
        self.used.extend(names.iter().map(|name| (*name).to_owned()));
        names.into_iter().filter_map(|name| self.streams.named(name).ok()).collect()
    }

    /// Adds the address of the ONVIF service, if it is at the same machine and has the same
    /// password.
    fn add_onvif(&self, entry: &mut Entry, section: Option<&Node>) {
        let text = |key| section.and_then(|section| section.text_of(key));
        let Some(host) = text("host").filter(|host| *host != "0.0.0.0") else { return };
        let variables = self.streams.variables();
        let (user, password) = (text("user"), text("password").unwrap_or_default());
        let login =
            match user.map(|user| (replaced(user, variables), replaced(password, variables))) {
                Some((user, password)) => known_login(&user, &password).map(|(login, _)| login),
                None => Some(entry.login.clone()),
            };
        let host = replaced(host, variables);
        let (scheme, bare) = host.split_once("://").unwrap_or(("", &host));
        let bare = bare.trim_end_matches('/');
        let Some(Place::Streams { main, onvif, .. }) = &mut entry.place else { return };
        let is_here = bare.trim_matches(['[', ']']).eq_ignore_ascii_case(main.host());
        match login {
            Some(login) if is_here && (entry.login == login || entry.login == Login::Open) => {
                let port = text("port").and_then(|port| port.parse::<u16>().ok());
                let port = port.map_or_else(|| ONVIF_PORT.to_owned(), |port| port.to_string());
                let host = bracketed(bare);
                *onvif = Some(match scheme {
                    "https" => format!("https://{host}:{port}/onvif/device_service"),
                    _ => format!("{host}:{port}"),
                });
                entry.login = login;
            }
            Some(_) | None => entry.notes.push(Note::OtherOnvif),
        }
    }

    /// Returns the streams of go2rtc that no camera refers to.
    fn spare(&self, section: Option<&Node>, room: usize) -> Vec<Entry> {
        let streams = section.and_then(Node::map).into_iter().flatten();
        let unused = streams.filter(|(name, _)| !self.used.contains(*name));
        let entry = |(name, node): (&str, &Node)| {
            let mut entry = Entry::new(name, self.streams.first(&source_lines(node)));
            entry.wanted = false;
            if entry.place.is_some() {
                entry.notes.push(Note::Spare);
            }
            entry
        };
        unused.take(room).map(entry).collect()
    }
}

/// Takes the input with the best picture: the one that is recorded, or sent on to others.
fn take_main(inputs: &mut Vec<Input>) -> Option<Input> {
    let is_ok = |input: &Input| input.found.is_ok();
    let best = inputs.iter().position(|input| is_ok(input) && is_full(input));
    let at = best.or_else(|| inputs.iter().position(is_ok))?;
    Some(inputs.remove(at))
}

fn is_full(input: &Input) -> bool {
    input.has("record") || input.has("restream")
}

/// Returns true if a stream can be the other one of a camera.
fn is_better(live: &Found, main: &Found) -> bool {
    live.place != main.place && live.login == main.login && live.host() == main.host()
}

fn first_problem(inputs: &[Input]) -> Note {
    inputs.iter().find_map(|input| input.found.clone().err()).unwrap_or(Note::Pushed)
}
