use super::*;

fn root(text: &str) -> Element {
    Element::read(text.as_bytes())
}

fn event(topic: &str, item: &str, value: &str) -> String {
    format!(
        "<NotificationMessage><Topic>{topic}</Topic><Message><Message \
         PropertyOperation=\"Changed\"><Source><SimpleItem Name=\"Source\" Value=\"s\"/></Source>\
         <Data><SimpleItem Name=\"{item}\" Value=\"{value}\"/></Data></Message></Message>\
         </NotificationMessage>"
    )
}

#[test]
fn motion_is_known_by_its_topic_and_its_value() {
    let only = Sources { tokens: Vec::new(), is_only: true };
    for (topic, item, value, expected) in [
        ("tns1:RuleEngine/CellMotionDetector/Motion", "IsMotion", "true", Some(true)),
        ("tns1:RuleEngine/CellMotionDetector/Motion", "IsMotion", "0", Some(false)),
        ("tns1:VideoSource/MotionAlarm", "State", "True", Some(true)),
        ("tns1:RuleEngine/MotionRegionDetector/Motion", "State", "1", Some(true)),
        ("tns1:RuleEngine/MyRuleDetector/PeopleDetect", "State", "true", Some(true)),
        ("tns1:RuleEngine/MyRuleDetector/VehicleDetect", "State", "false", Some(false)),
        ("tns1:RuleEngine/FieldDetector/ObjectsInside", "IsInside", "true", Some(true)),
        ("tns1:RuleEngine/TPSmartEventDetector/TPSmartEvent", "IsPeople", "true", Some(true)),
        ("tns1:VideoAnalytics/tnsaxis:MotionDetection", "motion", "1", Some(true)),
        ("tns1:VideoSource/GlobalSceneChange/ImagingService", "State", "true", None),
        ("tns1:VideoSource/ImageTooDark/ImagingService", "State", "true", None),
        ("tns1:RuleEngine/TamperDetector/Tamper", "IsTamper", "true", None),
        ("tns1:AudioAnalytics/Audio/DetectedSound", "State", "true", None),
        ("tns1:Device/Trigger/DigitalInput", "LogicalState", "true", None),
        ("tns1:RuleEngine/CellMotionDetector/Motion", "IsMotion", "maybe", None),
        ("tns1:RuleEngine/CellMotionDetector/Motion", "Window", "1", None),
        ("", "IsMotion", "true", None),
    ] {
        let told = read_motion(&root(&event(topic, item, value)), &only);
        let mut motion = Motion::default();
        motion.handle_told(std::time::Instant::now(), told);
        assert_eq!(motion.state().map(|(active, _)| active), expected, "{topic} {item}={value}");
    }
}

#[test]
fn a_flood_of_events_costs_no_more_than_its_bounds() {
    let only = Sources { tokens: Vec::new(), is_only: true };
    let (mut motion, now) = (Motion::default(), std::time::Instant::now());
    for part in 0..100 {
        let many: String = (0..100)
            .map(|n| event(&format!("RuleEngine/Motion/{part}/{n}"), "State", "true"))
            .collect();
        let told = read_motion(&root(&many), &only);
        assert!(told.len() <= 64);
        motion.handle_told(now, told);
    }
    assert!(motion.poll_timeout().is_some_and(|at| at > now));
    motion.handle_timeout(now + Duration::from_secs(60));
    assert_eq!(motion.state().map(|(active, _)| active), Some(false));
}

#[test]
fn a_lifetime_is_a_distance_whatever_the_clock_shows() {
    let both = |start: &str, end: &str| {
        format!("<CurrentTime>{start}</CurrentTime><TerminationTime>{end}</TerminationTime>")
    };
    for (name, document, expected) in [
        ("both", both("2026-11-28T12:00:00Z", "2026-11-28T12:01:30Z"), 90),
        ("fractions", both("2026-11-28T12:00:00.123Z", "2026-11-28T12:02:00.9Z"), 120),
        ("zones", both("2026-11-28T12:00:00Z", "2026-11-28T14:01:30+02:00"), 90),
        ("another year", both("1970-01-01T00:00:05Z", "1970-01-01T00:05:05Z"), 300),
        ("too short", both("2026-11-28T12:00:00Z", "2026-11-28T12:00:01Z"), 60),
        ("too long", both("2026-11-28T12:00:00Z", "2027-11-28T12:00:00Z"), 60),
        ("an end before", both("2026-11-28T12:00:00Z", "2026-11-28T11:00:00Z"), 60),
        ("a duration", both("", "PT2M"), 120),
        ("a long duration", both("", "P0DT0H10M0.5S"), 600),
        ("a duration without an end", both("", &format!("P{}D", "9".repeat(40))), 60),
        ("our idea of its clock", both("x", "2026-11-28T12:00:40Z"), 40),
        ("nothing", String::new(), 60),
    ] {
        // 2026-11-28T12:00:00Z.
        let found = lifetime(&root(&document), 1_795_867_200);
        assert_eq!(found, Duration::from_secs(expected), "{name}");
    }
}

#[test]
fn reference_parameters_keep_their_namespaces() {
    let service = ServiceAddress::parse("http://192.0.2.1/events").unwrap();
    let answer = |declared: &str, content: &str| {
        format!(
            "<E xmlns:d=\"urn:outer\"><SubscriptionReference><Address>http://10.0.0.1/x?a=1&amp;b\
             </Address><w:ReferenceParameters {declared}>{content}</w:ReferenceParameters>\
             </SubscriptionReference></E>"
        )
    };
    let mark = format!(" xmlns:a=\"{ADDRESSING}\" a:IsReferenceParameter=\"true\"");
    let long = format!("<d:Id>{}</d:Id>", "x".repeat(9999));
    for (name, document, expected) in [
        (
            "declared further up",
            answer("", "<d:Id>7</d:Id>"),
            format!("<p:Id xmlns:p=\"urn:outer\"{mark}>7</p:Id>"),
        ),
        (
            "declared again",
            answer("xmlns:d=\"urn:inner\"", "<d:Id y=\"1\">&lt;</d:Id>"),
            format!("<p:Id xmlns:p=\"urn:inner\"{mark} y=\"1\">&lt;</p:Id>"),
        ),
        (
            "one in another",
            answer("", "<a xmlns=\"urn:a\"><b/></a>"),
            format!("<p:a xmlns:p=\"urn:a\"{mark}><p:b xmlns:p=\"urn:a\"></p:b></p:a>"),
        ),
        ("no namespace", answer("", "<q:Id>7</q:Id>"), format!("<Id{mark}>7</Id>")),
        ("none", answer("", ""), String::new()),
        ("no name", answer("", "<d:\u{fc}>7</d:\u{fc}>"), String::new()),
        ("without an end", "<ReferenceParameters><d:Id>".to_owned(), String::new()),
        ("too long", answer("", &long), String::new()),
    ] {
        let read = Reference::read(&root(&document), document.as_bytes(), &service);
        assert_eq!(read.parameters, expected, "{name}");
        let headers = EventCall::Pull.headers(Some(&read));
        assert!(headers.ends_with(&expected), "{name}");
    }
    let document = answer("", "");
    let read = Reference::read(&root(&document), document.as_bytes(), &service);
    assert_eq!(read.to, "http://10.0.0.1/x?a=1&b");
    let read = Reference::read(&root("<E/>"), b"", &service);
    assert_eq!(read.address, service);
}
