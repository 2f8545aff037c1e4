//! Probes of odd cameras, in virtual time.

mod fake;

use std::net::IpAddr;

use super::*;
use crate::onvif::Encoding;
use fake::{Auth, Fake, Sent};

const UNIX_S: i64 = 1_795_867_200;
const PEER: [u8; 4] = [192, 168, 12, 2];

/// The results of a probe.
#[derive(Debug, Default)]
struct Found {
    findings: Vec<Finding>,
    information: Information,
    cameras: Vec<Camera>,
    seconds: u64,
    refused: u8,
}

impl Found {
    fn keys(&self) -> Vec<&'static str> {
        self.findings.iter().map(Finding::key).collect()
    }
}

fn config() -> Config {
    let networks = Networks { own: vec!["192.168.12.0/24".parse().unwrap()], named: Vec::new() };
    let credentials = Credentials { user: "u".to_owned(), password: fake::PASSWORD.to_owned() };
    Config {
        peer: SocketAddr::from((PEER, 0)),
        host: "192.168.12.2".to_owned(),
        services: Vec::new(),
        only_services: false,
        credentials: Some(credentials),
        allows_text: false,
        networks,
        unix_s: UNIX_S,
        seed: 1,
    }
}

/// Runs a probe to its end, in virtual time; a request without an answer takes as long as the probe
/// waits.
fn run(config: Config, camera: &mut Fake) -> Found {
    let start = Instant::now();
    let mut now = start;
    let mut probe = Probe::new(config, now).unwrap();
    let mut found = Found::default();
    let mut waiting: VecDeque<Request> = VecDeque::new();
    for _ in 0..1000 {
        while let Some(output) = probe.poll_output() {
            match output {
                Output::Send(request) => {
                    assert_eq!(request.to.ip(), IpAddr::from(PEER), "{request:?}");
                    waiting.push_back(request);
                }
                Output::Cancel(id) => waiting.retain(|request| request.id != id),
                Output::Finding(finding) => found.findings.push(finding),
                Output::Device(information) => found.information = information,
                Output::Camera(camera) => found.cameras.push(camera),
                Output::Done => {
                    assert!(waiting.is_empty() && probe.poll_timeout().is_none());
                    found.seconds = now.duration_since(start).as_secs();
                    found.refused = probe.refused();
                    return found;
                }
            }
        }
        let index = waiting.iter().position(|request| camera.answers(request));
        match index.and_then(|index| waiting.remove(index)) {
            Some(request) => {
                let sent = Sent::read(&request);
                match camera.handle(&sent, UNIX_S) {
                    Ok(reply) => probe.handle_reply(now, request.id, &reply),
                    Err(error) => probe.handle_error(now, request.id, error),
                }
            }
            None => {
                now = probe.poll_timeout().expect("a deadline");
                probe.handle_timeout(now);
            }
        }
    }
    panic!("the probe has no end: {found:?}");
}

type Case = (&'static str, fn(&mut Fake), fn(&mut Config), &'static [&'static str], usize);

/// The cameras of the brief: what is odd about each, what is told, and how many it has.
const CASES: &[Case] = &[
    ("an open camera", |_| {}, |_| {}, &[], 1),
    ("HTTP digest", |c| c.auth = Auth::Http("MD5"), |_| {}, &[], 1),
    (
        "Media2 only, with SHA-256",
        |c| {
            c.auth = Auth::Http("SHA-256");
            c.media1 = false;
            c.media2 = true;
        },
        |_| {},
        &[],
        1,
    ),
    ("a token", |c| c.auth = Auth::Token, |_| {}, &[], 1),
    (
        "a clock that is 183 days behind",
        |c| {
            c.auth = Auth::Token;
            c.ahead_s = -183 * 86_400;
        },
        |_| {},
        &["clock-off"],
        1,
    ),
    (
        "a clock that was never set",
        |c| {
            c.auth = Auth::Token;
            c.ahead_s = 300 - UNIX_S;
        },
        |_| {},
        &["clock-unset"],
        1,
    ),
    ("a wrong address for itself", |c| c.named = "192.168.1.88", |_| {}, &["other-address"], 1),
    ("an address of a cloud", |c| c.named = "169.254.169.254", |_| {}, &["other-address"], 1),
    ("an address of this machine", |c| c.named = "127.0.0.1", |_| {}, &["other-address"], 1),
    (
        "text, allowed",
        |c| c.auth = Auth::Text,
        |config| config.allows_text = true,
        &["sent-text"],
        1,
    ),
    ("text, not allowed", |c| c.auth = Auth::Text, |_| {}, &["wrong-password"], 0),
    ("Basic, not allowed", |c| c.auth = Auth::Basic, |_| {}, &["wants-text"], 0),
    ("a recorder with four sources", |c| c.sources = 4, |_| {}, &[], 4),
    ("a recorder with a hundred", |c| c.sources = 100, |_| {}, &[], 32),
    ("no GetServices", |c| c.lacks.push("GetServices"), |_| {}, &[], 1),
    (
        "no list of services at all",
        |c| c.lacks.extend(["GetServices", "GetCapabilities"]),
        |_| {},
        &[],
        1,
    ),
    ("no still picture", |c| c.lacks.push("GetSnapshotUri"), |_| {}, &[], 1),
    ("no information", |c| c.lacks.push("GetDeviceInformation"), |_| {}, &[], 1),
    (
        "a right that the user lacks",
        |c| {
            c.auth = Auth::Http("MD5");
            c.forbids = "GetNetworkInterfaces";
        },
        |_| {},
        &["not-permitted"],
        1,
    ),
    ("H.265 only", |c| c.encodings = ("H265", "H265"), |_| {}, &["no-h264"], 1),
    ("JPEG only", |c| c.encodings = ("JPEG", "JPEG"), |_| {}, &["no-video"], 0),
    ("a wrong password", |c| c.auth = Auth::Nobody("MD5"), |_| {}, &["wrong-password"], 0),
    (
        "no password",
        |c| c.auth = Auth::Http("MD5"),
        |config| config.credentials = None,
        &["password-missing"],
        0,
    ),
    ("a locked account", |c| c.auth = Auth::Locked, |_| {}, &["account-locked"], 0),
    ("another port", |c| c.port = 8000, |_| {}, &[], 1),
    ("nothing there", |c| c.port = 0, |_| {}, &["nothing-answers"], 0),
    (
        "another device",
        |c| c.page = Some("<html><body>router</body></html>"),
        |_| {},
        &["no-onvif"],
        0,
    ),
    ("an answer without end", |c| c.is_endless = true, |_| {}, &["endless-answer"], 0),
    (
        "a redirect to a cloud",
        |c| c.redirect = Some("http://169.254.169.254/latest"),
        |_| {},
        &["redirects"],
        0,
    ),
    (
        "a redirect to this machine",
        |c| c.redirect = Some("http://127.0.0.1/"),
        |_| {},
        &["redirects"],
        0,
    ),
    ("a redirect to another path", |c| c.redirect = Some("/other"), |_| {}, &[], 1),
    ("silence after the first answer", |c| c.silent_after = 1, |_| {}, &["stopped-answering"], 0),
    ("silence in the middle", |c| c.silent_after = 5, |_| {}, &["stopped-answering"], 0),
    ("junk in every answer", |c| c.is_junk = true, |_| {}, &["no-video"], 0),
];

#[test]
fn each_odd_camera_is_understood_or_explained_within_its_bounds() {
    for (name, change, set, expected, cameras) in CASES {
        let mut camera = Fake::default();
        change(&mut camera);
        let mut config = config();
        set(&mut config);
        let found = run(config, &mut camera);
        assert_eq!(found.keys(), *expected, "{name}: {:?}", found.findings);
        assert_eq!(found.cameras.len(), *cameras, "{name}: {:?}", found.cameras);
        assert!(found.refused <= MAX_REFUSED && camera.refused <= 2, "{name}: {}", camera.refused);
        assert!(found.seconds <= 7, "{name} takes {} s", found.seconds);
        for camera in &found.cameras {
            let main = camera.main.address.url();
            assert!(main.starts_with("rtsp://192.168.12.2:554/main"), "{name}: {main}");
            let sub = camera.sub.as_ref().expect(name).address.url();
            assert!(sub.starts_with("rtsp://192.168.12.2:554/sub"), "{name}: {sub}");
        }
    }
}

#[test]
fn a_camera_is_told_with_everything_about_it() {
    let found = run(config(), &mut Fake::default());
    let Information { vendor, model, mac, .. } = found.information;
    assert_eq!(vendor.as_deref(), Some("Example"));
    assert_eq!(model.as_deref(), Some("Model 1"));
    assert_eq!(mac.as_deref(), Some("00:11:22:33:44:55"));
    let [camera] = &found.cameras[..] else { panic!("{:?}", found.cameras) };
    let Stream { encoding, width, height, frames_per_second, gov_length, .. } = camera.main;
    assert_eq!((encoding, width, height), (Encoding::H264, 1920, 1080));
    assert_eq!((frames_per_second, gov_length), (Some(25), Some(50)));
    let snapshot = camera.snapshot.as_ref().map(ToString::to_string);
    assert_eq!(snapshot.as_deref(), Some("http://192.168.12.2/snap"));
}

#[test]
fn an_account_that_locks_after_five_wrong_tries_is_not_locked_by_two_probes() {
    let mut camera = Fake { auth: Auth::Nobody("MD5"), ..Fake::default() };
    for _ in 0..2 {
        let found = run(config(), &mut camera);
        assert_eq!(found.keys(), ["wrong-password"]);
    }
    assert!(camera.refused < 5, "{} tries", camera.refused);
}

#[test]
fn an_address_outside_of_the_networks_is_not_contacted() {
    let peer = SocketAddr::from(([8, 8, 8, 8], 0));
    let error = Probe::new(Config { peer, ..config() }, Instant::now()).unwrap_err();
    assert_eq!(error, NotAllowed::Elsewhere(peer.ip()));
}

#[test]
fn a_closed_probe_drops_its_requests() {
    let mut probe = Probe::new(config(), Instant::now()).unwrap();
    let sent = std::iter::from_fn(|| probe.poll_output()).count();
    assert!(sent >= 5, "several ports are tried at once");
    probe.close();
    let outputs: Vec<_> = std::iter::from_fn(|| probe.poll_output()).collect();
    assert_eq!(outputs.len(), sent + 1);
    assert_eq!(outputs.last(), Some(&Output::Done));
    assert_eq!(probe.poll_timeout(), None);
}
