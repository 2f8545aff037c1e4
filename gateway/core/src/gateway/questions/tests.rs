use porthole_signaling_proto::control::{MoveParams, PresetParams, SavePresetParams};
use porthole_signaling_proto::manage::{
    AddCameraParams, CancelParams, ChangedResult, DiscoverParams, DiscoverResult, FoundDevice,
    GatewayParams, MAX_DURATION_S, MAX_SILENCE_S, ProbeParams, ProbeResult,
};
use porthole_signaling_proto::method::{
    Cancel, GoToPreset, Method, Notification as _, Progress as ProgressMessage, ReportParams,
};
use porthole_signaling_proto::rpc::Value;

use super::*;
use crate::Core as _;
use crate::camera::{CameraChange, CameraSettings, Picture};
use crate::gateway::tests::{Case, fault_of, params_of, signal};
use crate::onvif::control::Command;

const GATEWAY: &str = "gw1";

fn discover() -> DiscoverParams {
    DiscoverParams { peer: GATEWAY.parse().unwrap(), addresses: Vec::new(), by: None }
}

fn probe(address: &str) -> ProbeParams {
    ProbeParams {
        peer: GATEWAY.parse().unwrap(),
        address: address.to_owned(),
        login: None,
        allows_text: false,
        camera: None,
        import: None,
        vendor: None,
        by: None,
    }
}

fn add(name: &str) -> AddCameraParams {
    AddCameraParams {
        peer: GATEWAY.parse().unwrap(),
        revision: 0,
        provisional: "probe.1".parse().unwrap(),
        name: name.to_owned(),
        by: None,
    }
}

fn list() -> GatewayParams {
    GatewayParams { peer: GATEWAY.parse().unwrap(), by: None }
}

/// The outputs of the core after an input.
#[derive(Debug, Default)]
struct Heard {
    asked: Vec<(QuestionId, Question)>,
    cancelled: Vec<QuestionId>,
    forgotten: Vec<CameraId>,
    messages: Vec<Message>,
}

impl Case {
    fn heard(&mut self) -> Heard {
        let mut heard = Heard::default();
        for output in self.outputs() {
            let Output::Question(output) = output else {
                heard.messages.extend(signal(output));
                continue;
            };
            match output {
                QuestionOutput::Ask(id, question) => heard.asked.push((id, question)),
                QuestionOutput::Cancel(id) => heard.cancelled.push(id),
                QuestionOutput::Forgotten(id) => heard.forgotten.push(id),
                QuestionOutput::Lost(id) => panic!("{id} does not fail"),
            }
        }
        heard
    }

    fn ask<M: Method>(&mut self, id: i64, params: &M::Params) -> Heard {
        self.gateway.handle_message(self.now, Message::request::<M>(id, params));
        self.heard()
    }

    fn tell(&mut self, event: QuestionEvent) -> Vec<Message> {
        self.gateway.handle_question_event(self.now, event);
        self.heard().messages
    }

    fn cancel(&mut self, id: i64) -> Heard {
        let params = CancelParams { request: RequestId::Number(id) };
        self.gateway.handle_message(self.now, Message::notification::<Cancel>(&params));
        self.heard()
    }
}

fn only(heard: Heard) -> QuestionId {
    let [(id, _)] = &heard.asked[..] else { panic!("{heard:?}") };
    *id
}

fn found(number: u32) -> Progress {
    Progress::Found(FoundDevice {
        number,
        address: "192.168.1.20".to_owned(),
        vendor: None,
        model: None,
        name: None,
        mac: None,
        cameras: Vec::new(),
    })
}

#[test]
fn a_question_is_answered_piece_by_piece_and_then_once() {
    let mut case = Case::new();
    case.outputs();
    let id = only(case.ask::<Discover>(7, &discover()));
    for number in 0..2 {
        let messages = case.tell(QuestionEvent::Progress(id, found(number)));
        let told: Vec<ProgressParams> = params_of(&messages, ProgressMessage::NAME);
        let [ProgressParams { request, value }] = &told[..] else { panic!("{messages:?}") };
        assert_eq!(*request, RequestId::Number(7));
        assert_eq!(value.get("number").and_then(Value::as_u64), Some(number.into()));
    }
    let answer = || QuestionEvent::Answered(id, Ok(Answer::Discovered(DiscoverResult::default())));
    let messages = case.tell(answer());
    let [Message::Response { id: Some(request), outcome: Ok(_) }] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(*request, RequestId::Number(7));
    assert_eq!(case.tell(answer()), [], "a second answer");
    assert_eq!(case.tell(QuestionEvent::Progress(id, found(3))), [], "progress after the answer");
}

#[test]
fn each_method_is_answered_with_its_result() {
    let mut case = Case::new();
    case.outputs();
    let id = only(case.ask::<Probe>(1, &probe("192.168.1.20")));
    let probed = Answer::Probed(ProbeResult { refused: 2 });
    let messages = case.tell(QuestionEvent::Answered(id, Ok(probed)));
    let text = messages.iter().map(Message::to_json).collect::<String>();
    assert!(text.contains("\"refused\":2"), "{text}");
    let id = only(case.ask::<AddCamera>(2, &add(" Front door ")));
    let changed = ChangedResult { camera: "front-door".parse().unwrap(), revision: 5 };
    let messages = case.tell(QuestionEvent::Answered(id, Ok(Answer::Added(changed))));
    let text = messages.iter().map(Message::to_json).collect::<String>();
    assert!(text.contains("front-door") && text.contains("\"revision\":5"), "{text}");
}

#[test]
fn what_nobody_waits_for_is_cancelled() {
    let mut case = Case::new();
    case.outputs();
    let search = only(case.ask::<Discover>(1, &discover()));
    let probing = only(case.ask::<Probe>(2, &probe("a")));
    assert_eq!(case.cancel(3).cancelled, [], "nothing of that id");
    let heard = case.cancel(1);
    assert_eq!((heard.cancelled, heard.messages), (vec![search], Vec::new()));
    assert_eq!(case.cancel(1).cancelled, [], "twice");
    case.gateway.handle_offline(case.now);
    assert_eq!(case.heard().cancelled, [probing]);
    case.gateway.handle_online(case.now);
    case.outputs();
    let answer = Answer::Probed(ProbeResult::default());
    assert_eq!(case.tell(QuestionEvent::Answered(probing, Ok(answer))), []);
    let last = only(case.ask::<Discover>(1, &discover()));
    case.gateway.close(case.now);
    assert_eq!(case.heard().cancelled, [last]);
}

#[test]
fn a_question_without_an_answer_is_given_up_before_the_server_does() {
    let second = Duration::from_secs(1);
    let mut case = Case::new();
    case.outputs();
    let silent = only(case.ask::<Discover>(1, &discover()));
    let start = case.now;
    while case.now < start + Duration::from_secs(MAX_SILENCE_S) {
        case.now += second;
        case.gateway.handle_timeout(case.now);
    }
    let heard = case.heard();
    assert_eq!(heard.cancelled, [silent]);
    let fault = fault_of(&heard.messages).expect("a fault");
    assert_eq!(fault.code, code::REQUEST_TIMEOUT);

    let id = only(case.ask::<Discover>(2, &discover()));
    let (start, mut given_up) = (case.now, None);
    while given_up.is_none() && case.now < start + Duration::from_secs(MAX_DURATION_S) {
        case.now += second;
        case.gateway.handle_question_event(case.now, QuestionEvent::Progress(id, found(1)));
        case.gateway.handle_timeout(case.now);
        given_up = fault_of(&case.heard().messages).cloned();
    }
    assert_eq!(given_up.expect("a fault").code, code::REQUEST_TIMEOUT);
    assert!(case.now > start + Duration::from_secs(MAX_SILENCE_S));
}

#[test]
fn a_gateway_that_is_asked_too_much_refuses_in_a_sentence() {
    let mut case = Case::new();
    case.outputs();
    type Ask = fn(&mut Case, i64) -> Heard;
    let searches: Ask = |case, id| case.ask::<Discover>(id, &discover());
    let probes: Ask = |case, id| case.ask::<Probe>(id, &probe("a"));
    let lists: Ask = |case, id| case.ask::<StoredCameras>(id, &list());
    let cases: [(&str, Ask, usize); 3] =
        [("searches", searches, 2), ("probes", probes, 2), ("in total", lists, 12)];
    let mut request = 0;
    for (name, ask, limit) in cases {
        for number in 0..=limit {
            request += 1;
            let heard = ask(&mut case, request);
            assert_eq!(heard.asked.len(), usize::from(number < limit), "{name}: {number}");
            let code = fault_of(&heard.messages).map(|fault| fault.code);
            let expected = (number == limit).then_some(code::INSUFFICIENT_RESOURCES);
            assert_eq!(code, expected, "{name}: {number}");
        }
    }
    assert_eq!(case.gateway.questions.len(), 16);
    let again = case.ask::<StoredCameras>(1, &list());
    assert_eq!(fault_of(&again.messages).map(|fault| fault.code), Some(code::CONFLICT));
}

#[test]
fn a_server_that_asks_nonsense_ten_thousand_times_costs_little() {
    let mut case = Case::new();
    case.outputs();
    let long = "x".repeat(100_000);
    let mut answered = 0;
    for number in 0..10_000 {
        let heard = match number % 8 {
            0 => case.ask::<Probe>(number, &probe(&long)),
            1 => case.ask::<Probe>(number, &probe("")),
            2 => case.ask::<AddCamera>(number, &add(&long)),
            3 => case.ask::<AddCamera>(number, &add("two\nlines")),
            4 => {
                let addresses = vec!["192.168.1.20".to_owned(); 17];
                case.ask::<Discover>(number, &DiscoverParams { addresses, ..discover() })
            }
            5 => {
                let params = Value::String(long.clone());
                let method = Probe::NAME.to_owned();
                let id = RequestId::Number(number);
                let message = Message::Request { id, method, params };
                case.gateway.handle_message(case.now, message);
                case.heard()
            }
            6 => case.cancel(number - 1),
            _ => case.ask::<StoredCameras>(number, &list()),
        };
        answered += heard.asked.len();
        let is_one = number % 8 == 6 || heard.asked.len() + heard.messages.len() == 1;
        assert!(is_one, "{number}: {heard:?}");
        assert!(case.gateway.questions.len() <= 16);
    }
    assert_eq!(answered, 16, "nothing is asked beyond the bounds");
}

#[test]
fn a_burst_of_questions_is_followed_by_a_rate() {
    let mut case = Case::new();
    case.outputs();
    let mut asked = 0;
    let mut ask_all = |case: &mut Case| {
        let mut count = 0;
        for _ in 0..200 {
            asked += 1;
            if let [(id, _)] = &case.ask::<StoredCameras>(asked, &list()).asked[..] {
                count += 1;
                let fault = Fault::new(code::NOT_FOUND, "none");
                case.tell(QuestionEvent::Answered(*id, Err(fault)));
            }
        }
        count
    };
    assert_eq!(ask_all(&mut case), 60);
    for (passed_ms, expected) in [(499, 0), (1, 1), (1250, 2), (250, 1), (3_600_000, 60)] {
        case.now += Duration::from_millis(passed_ms);
        assert_eq!(ask_all(&mut case), expected, "after {passed_ms} ms");
    }
}

fn put_provisional(case: &mut Case, number: usize) -> CameraId {
    let id: CameraId = format!("probe.{number}").parse().unwrap();
    let settings = CameraSettings {
        id: id.clone(),
        name: "Found".to_owned(),
        on_demand: true,
        has_sub: false,
        picture: Picture::default(),
        provisional: true,
    };
    case.gateway.change_camera(case.now, CameraChange::Put(settings));
    id
}

#[test]
fn a_provisional_camera_is_reported_as_such_and_forgotten_when_nobody_watches() {
    let mut case = Case::new();
    case.outputs();
    let (first, second) = (put_provisional(&mut case, 1), put_provisional(&mut case, 2));
    assert!(fault_of(&case.connect("s1", Some("probe.2"))).is_none());
    case.now += super::super::REPORT_DELAY;
    case.gateway.handle_timeout(case.now);
    let reports: Vec<ReportParams> = params_of(&case.heard().messages, "portholeReport");
    let report = reports.last().expect("a report");
    let kept: Vec<_> = report.cameras.iter().filter(|camera| camera.provisional).collect();
    assert_eq!(kept.len(), 2, "{report:?}");

    case.now += PROVISIONAL;
    case.gateway.handle_timeout(case.now);
    assert_eq!(case.heard().forgotten, [first], "the other one is watched");
    let stream = crate::gateway::tests::main_stream("probe.2");
    assert!(case.gateway.stream(&stream).is_some());
    case.gateway.change_camera(case.now, CameraChange::Removed(second.clone()));
    case.now += PROVISIONAL;
    case.gateway.handle_timeout(case.now);
    assert_eq!(case.heard().forgotten, [], "it was removed before");
    assert!(case.gateway.provisional.is_empty());
}

#[test]
fn at_most_64_provisional_cameras_are_kept_and_one_with_a_viewer_goes_last() {
    let mut case = Case::new();
    case.outputs();
    for number in 0..MAX_PROVISIONAL {
        put_provisional(&mut case, number);
        case.now += Duration::from_millis(1);
    }
    assert!(fault_of(&case.connect("s1", Some("probe.0"))).is_none());
    case.outputs();
    for number in MAX_PROVISIONAL..MAX_PROVISIONAL + 3 {
        put_provisional(&mut case, number);
    }
    let forgotten: Vec<_> = case.heard().forgotten.iter().map(ToString::to_string).collect();
    assert_eq!(forgotten, ["probe.1", "probe.2", "probe.3"]);
    assert_eq!(case.gateway.provisional.len(), MAX_PROVISIONAL);
    // A viewer that names no camera gets one that was added.
    let stream = case.gateway.cameras.keys().next().cloned();
    assert_eq!(stream.map(|id| id.to_string()).as_deref(), Some("door"));
}

fn moving(pan: i32) -> MoveParams {
    MoveParams {
        peer: GATEWAY.parse().unwrap(),
        camera: "door".parse().unwrap(),
        pan,
        tilt: 0,
        zoom: 0,
        by: Some("Ann\n".repeat(99)),
    }
}

#[test]
fn people_who_hold_a_button_are_never_refused_and_keep_nobody_from_anything_else() {
    let mut case = Case::new();
    let mut number = 0;
    // Five people for a minute.
    for _ in 0..200 {
        for _ in 0..5 {
            number += 1;
            let heard = case.ask::<Move>(number, &moving(500));
            let [(id, Question::Control(camera, command))] = &heard.asked[..] else {
                panic!("{heard:?}")
            };
            let Command::Move { by, velocity } = command else { panic!("{command:?}") };
            assert_eq!((camera.as_str(), velocity.pan), ("door", 100));
            assert!(by.len() <= 64 && !by.contains('\n'), "{by}");
            let answer = QuestionEvent::Answered(*id, Ok(Answer::Controlled));
            assert_eq!(case.tell(answer).len(), 1);
        }
        case.now += Duration::from_millis(300);
    }
    let heard = case.ask::<StoredCameras>(number + 1, &list());
    assert_eq!(heard.asked.len(), 1, "the budget of the others is whole");
}

#[test]
fn a_flood_of_movements_is_refused_and_leaves_room_for_other_questions() {
    let mut case = Case::new();
    let refused = (0..500).filter(|n| case.ask::<Move>(*n, &moving(1)).asked.is_empty()).count();
    assert_eq!(refused, 500 - 32, "as many as may be in flight");
    case.now += Duration::from_secs(60);
    case.gateway.handle_timeout(case.now);
    case.heard();
    let heard = case.ask::<StoredCameras>(1000, &list());
    assert_eq!(heard.asked.len(), 1);
    let asked: usize = (2000..2500)
        .map(|number| {
            let heard = case.ask::<Move>(number, &moving(1));
            for (id, _) in &heard.asked {
                case.tell(QuestionEvent::Answered(*id, Ok(Answer::Controlled)));
            }
            heard.asked.len()
        })
        .sum();
    assert_eq!(asked, 60, "a burst");
}

#[test]
fn the_texts_of_a_request_about_presets_are_checked() {
    let long = "x".repeat(129);
    for (number, (preset, is_taken)) in
        [("1", true), ("", false), ("a\nb", false), (&long, false)].into_iter().enumerate()
    {
        let mut case = Case::new();
        let params = PresetParams {
            peer: GATEWAY.parse().unwrap(),
            camera: "door".parse().unwrap(),
            preset: preset.to_owned(),
            by: None,
        };
        let heard = case.ask::<GoToPreset>(i64::try_from(number).unwrap(), &params);
        assert_eq!(!heard.asked.is_empty(), is_taken, "{preset}");
        assert_eq!(fault_of(&heard.messages).is_none(), is_taken, "{preset}");
    }
    for (name, expected) in [(" Gate ", Some("Gate")), ("  ", None), (&long, None)] {
        let mut case = Case::new();
        let params = SavePresetParams {
            peer: GATEWAY.parse().unwrap(),
            camera: "door".parse().unwrap(),
            name: name.to_owned(),
            by: None,
        };
        let heard = case.ask::<SavePreset>(1, &params);
        let saved = heard.asked.iter().find_map(|(_, question)| {
            let Question::Control(_, Command::Save { name }) = question else { return None };
            Some(name.as_str())
        });
        assert_eq!(saved, expected, "{name}");
    }
}
