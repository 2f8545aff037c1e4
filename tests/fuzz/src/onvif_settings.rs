//! The answers of devices whose settings are read and set.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use porthole_gateway_core::onvif::probe::CallError;
use porthole_gateway_core::onvif::settings::{
    Config, Facts, Failure, MAX_PLAN, Outcome, Output, Settings, Task,
};
use porthole_gateway_core::onvif::{Networks, Reply, ServiceAddress};
use porthole_gateway_core::rtsp::Credentials;

/// Maximum number of requests of a look or a change with everything that it does.
const MAX_REQUESTS: u32 = 60;

/// Longest time of a look or a change, whatever the device does.
const MAX_TIME: Duration = Duration::from_secs(120);

/// Longest text of a value or sentence in characters.
const MAX_TEXT: usize = 2000;

/// A piece of the input: an answer, after a byte for its kind.
pub(crate) type Piece<'a> = (u8, &'a [u8]);

/// Checks that a look at the settings of any device ends within its bounds, and that setting what
/// it has shown, with the same answers and more, does so too.
pub(crate) fn settings_answers(choice: u8, pieces: &[Piece<'_>]) {
    let facts = Facts { has_b_pictures: choice & 4 != 0, ..Facts::default() };
    let Ok(shown) = run(choice, Task::Check([facts; 2]), pieces) else { return };
    assert!(shown.plan.len() <= MAX_PLAN && shown.plan.is_ascii(), "{}", shown.plan);
    if let Ok(set) = run(choice, Task::Apply(shown.plan), pieces) {
        assert_eq!(set.changes.len(), shown.changes.len(), "what was shown, and no more");
    }
}

/// Address of the device.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Begins with a task at a device that wants a password, or none.
fn begin(choice: u8, task: Task, now: Instant) -> Settings {
    let credentials = Credentials { user: "u".to_owned(), password: "geheim".to_owned() };
    let config = Config {
        peer: SocketAddr::new(PEER, 0),
        service: ServiceAddress::parse("http://192.0.2.1/onvif").expect("an address"),
        credentials: (choice & 1 != 0).then_some(credentials),
        allows_text: choice & 2 != 0,
        networks: Networks {
            own: vec!["192.0.2.0/24".parse().expect("a network")],
            named: Vec::new(),
        },
        number: 1,
        task,
        unix_s: 1_795_867_200,
        seed: 1,
    };
    Settings::new(config, now).expect("an address of the network")
}

fn run(choice: u8, task: Task, pieces: &[Piece<'_>]) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let (mut now, mut requests, mut waiting) = (start, 0, None);
    let mut settings = begin(choice, task, start);
    let mut pieces = pieces.iter();
    loop {
        while let Some(output) = settings.poll_output() {
            match output {
                Output::Send(request) => {
                    assert_eq!(request.to.ip(), PEER);
                    requests += 1;
                    waiting = Some(request.id);
                }
                Output::Cancel(_) => waiting = None,
                Output::Done(result) => {
                    check(&result);
                    assert!(requests <= MAX_REQUESTS, "{requests} requests");
                    assert!(now.duration_since(start) <= MAX_TIME);
                    assert_eq!(settings.poll_timeout(), None, "nothing follows the end");
                    return result;
                }
            }
        }
        let due = settings.poll_timeout();
        assert!(due.is_some(), "it ends with an output");
        let due = due.unwrap_or(now);
        match waiting.take().zip(pieces.next()) {
            Some((id, (kind, body))) => answer(&mut settings, now, id, (*kind, body)),
            None => {
                now = now.max(due);
                settings.handle_timeout(now);
            }
        }
    }
}

fn answer(settings: &mut Settings, now: Instant, id: u32, (kind, body): Piece<'_>) {
    let text = String::from_utf8_lossy(body).into_owned();
    let reply = |status| Reply { status, body: body.to_vec(), ..Reply::default() };
    match kind % 8 {
        0..=2 => settings.handle_reply(now, id, &reply(200)),
        3 => settings.handle_reply(now, id, &reply(400)),
        4 => {
            let challenges = text.lines().map(ToOwned::to_owned).collect();
            settings.handle_reply(now, id, &Reply { challenges, ..reply(401) });
        }
        5 => settings.handle_reply(now, id, &Reply { location: Some(text), ..reply(302) }),
        6 => settings.handle_error(now, id, CallError::Refused),
        _ => settings.handle_error(now, id, CallError::Unreachable),
    }
}

/// Checks that people can read the result.
fn check(result: &Result<Outcome, Failure>) {
    let is_text = |text: &str| !text.contains(char::is_control) && text.len() <= MAX_TEXT;
    match result {
        Ok(outcome) => {
            for change in &outcome.changes {
                assert!(is_text(&change.before) && is_text(&change.after), "{change:?}");
            }
        }
        Err(failure) => assert!(is_text(&failure.to_string()), "{failure}"),
    }
}
