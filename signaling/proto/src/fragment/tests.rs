use super::*;

/// The example of RFC 8840 §9.1, with another candidate.
const FRAGMENT: &str = "a=ice-ufrag:P2uR\r\n\
    a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh1A\r\n\
    m=audio 9 RTP/AVP 0\r\n\
    a=mid:0\r\n\
    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host\r\n\
    a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host\r\n\
    a=end-of-candidates\r\n";

/// A candidate of a player, as a line without `a=`.
const HOST: &str = "candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host";

#[test]
fn a_fragment_carries_candidates_and_credentials() {
    let fragment = Fragment::parse(FRAGMENT).unwrap();
    assert_eq!(fragment.credentials(), Ok(("P2uR", "YH75Fviy6338Vbrhrlp8Yh1A")));
    assert_eq!(fragment.sections.len(), 1);
    assert_eq!(fragment.sections[0].mid, "0");
    assert_eq!(fragment.candidates().count(), 2);
    assert!(fragment.end_of_candidates());
    assert_eq!(Fragment::parse(&fragment.write()), Ok(fragment));
}

#[test]
fn credentials_and_candidates_are_read_wherever_they_are() {
    let inside = format!("m=video 9 X 0\r\na=mid:1\r\na=ice-ufrag:EsAw\r\na={HOST}\r\n");
    assert_eq!(Fragment::parse(&inside).unwrap().ufrag.as_deref(), Some("EsAw"));
    let bare = Fragment::parse(&format!("a={HOST}\n")).unwrap();
    assert_eq!(bare.candidates().count(), 1);
    assert!(!bare.end_of_candidates());
    assert_eq!(Fragment::parse("").unwrap(), Fragment::default());
}

#[test]
fn each_section_may_have_credentials_of_its_own() {
    let pwd = "a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh1A";
    let text = format!(
        "a=group:BUNDLE 0 1\r\n\
         m=audio 9 X 0\r\na=mid:0\r\na=ice-ufrag:aaaa\r\n{pwd}\r\na={HOST}\r\n\
         m=video 9 X 0\r\na=mid:1\r\na=ice-ufrag:bbbb\r\n{pwd}\r\na={HOST}\r\n"
    );
    let fragment = Fragment::parse(&text).unwrap();
    assert_eq!(fragment.ufrags(), ["aaaa", "bbbb"]);
    assert_eq!(fragment.bundle, ["0", "1"]);
    assert_eq!(fragment.credentials(), Ok(("aaaa", "YH75Fviy6338Vbrhrlp8Yh1A")));
    let candidates = fragment.ice_candidates();
    let sections =
        candidates.iter().map(|c| (c.sdp_mid.as_deref(), c.username_fragment.as_deref()));
    let expected = [(Some("0"), Some("aaaa")), (Some("1"), Some("bbbb"))];
    assert_eq!(sections.collect::<Vec<_>>(), expected);
}

#[test]
fn a_response_to_a_restart_repeats_group_and_options() {
    let fragment = Fragment {
        ufrag: Some("P2uR".to_owned()),
        bundle: vec!["0".to_owned(), "1".to_owned()],
        attributes: vec!["ice-options:ice2".to_owned()],
        ..Default::default()
    };
    let text = fragment.write();
    assert_eq!(text, "a=ice-ufrag:P2uR\r\na=group:BUNDLE 0 1\r\na=ice-options:ice2\r\n");
}

#[test]
fn candidates_are_trickled_with_the_section_they_belong_to() {
    let candidate = |candidate: &str, mid: Option<&str>| IceCandidate {
        candidate: candidate.to_owned(),
        sdp_mid: mid.map(str::to_owned),
        sdp_mline_index: None,
        username_fragment: Some("P2uR".into()),
    };
    let first = "candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host";
    let second = "candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host";
    let fragment = Fragment::parse(&format!("{FRAGMENT}m=video 9 X 0\r\na={HOST}\r\n"));
    assert_eq!(
        fragment.unwrap().ice_candidates(),
        [
            candidate(first, Some("0")),
            candidate(second, Some("0")),
            candidate("", Some("0")),
            candidate(HOST, None),
        ]
    );
}

#[test]
fn what_a_player_cannot_help_is_left_out() {
    let long = |text: &str, len: usize| format!("{text}{}", "x".repeat(len - text.len()));
    let longest = long(&format!("{HOST} "), MAX_CANDIDATE_CHARS);
    let (mid, next) = ("m".repeat(MAX_MID_CHARS), "m".repeat(MAX_MID_CHARS + 1));
    for (what, text, candidates, mids) in [
        ("nothing", format!("a=mid:0\r\na={HOST}\r\n"), 1, "0"),
        ("blanks", format!("a=mid:0 \t\r\na={HOST}  \r\n \r\n\r\n"), 1, "0"),
        ("many", format!("a={HOST}\r\n").repeat(200), MAX_CANDIDATES, ""),
        ("many ends", format!("a={HOST}\r\na=end-of-candidates\r\n").repeat(200), 32, ""),
        ("just not too long", format!("a={longest}\r\n"), 1, ""),
        ("too long", format!("a={longest}x\r\na={HOST}\r\n"), 1, ""),
        ("malformed", format!("a=candidate:broken\r\na={HOST}\r\n"), 1, ""),
        ("not printable", format!("a={HOST} a\u{1}\r\na={HOST}\r\n"), 1, ""),
        ("a port of five digits", format!("a={HOST}\r\na={}\r\n", port("70000")), 1, ""),
        ("no port", format!("a={HOST}\r\na={}\r\n", port("")), 1, ""),
        ("extensions", format!("a={HOST} generation 0 network-id 1\r\n"), 1, ""),
        ("the longest name", format!("a=mid:{mid}\r\na={HOST}\r\n"), 1, &*mid),
        ("a name too long", format!("a=mid:{next}\r\na={HOST}\r\n"), 1, ""),
        ("a name of two words", format!("a=mid:a b\r\na={HOST}\r\n"), 1, ""),
        ("a name with a line in it", format!("a=mid:a\rb\r\na={HOST}\r\n"), 1, ""),
        ("sections", format!("m=a\r\na={HOST}\r\n").repeat(MAX_SECTIONS + 9), 64, ""),
    ] {
        let fragment = Fragment::parse(&text).expect(what);
        assert_eq!(fragment.candidates().count(), candidates, "{what}");
        assert_eq!(fragment.sections[0].mid, mids, "{what}");
    }
}

/// Returns the candidate of [`HOST`] with another port.
fn port(port: &str) -> String {
    HOST.replace("61764", port)
}

#[test]
fn what_is_wrong_with_a_fragment_is_named() {
    let pwd = "a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh1A\r\n";
    let ufrag = "a=ice-ufrag:P2uR\r\n";
    for (text, error) in [
        (String::new(), FragmentError::Ufrag),
        (pwd.to_owned(), FragmentError::Ufrag),
        (ufrag.to_owned(), FragmentError::Pwd),
        (format!("a=ice-ufrag:x\r\n{pwd}"), FragmentError::Ufrag),
        (format!("a=ice-ufrag:a b c\r\n{pwd}"), FragmentError::Ufrag),
        ("nonsense".to_owned(), FragmentError::Line),
        ("abc=1".to_owned(), FragmentError::Line),
        (format!("{ufrag}{pwd}a=candidate:broken\r\n"), FragmentError::Candidate),
        (format!("{ufrag}{pwd}a=candidate:\u{1}\r\n"), FragmentError::Candidate),
    ] {
        let found = Fragment::parse(&text).and_then(|fragment| fragment.credentials().map(|_| ()));
        assert_eq!(found, Err(error), "{text}");
    }
}

#[test]
fn an_offer_names_its_user_name_fragments() {
    let many: String = (0..99).map(|n| format!("a=ice-ufrag:frag{n}\r\n")).collect();
    assert_eq!(offer_ufrags(&many).len(), MAX_CREDENTIALS);
    for (offer, ufrags) in [
        ("v=0\r\na=ice-ufrag:abcd\r\n", &["abcd"][..]),
        ("v=0\na=ice-ufrag:ab+/\n", &["ab+/"]),
        ("v=0\na=ice-ufrag:abcd \t\r\n", &["abcd"]),
        ("m=audio\na=ice-ufrag:aaaa\nm=video\na=ice-ufrag:bbbb\n", &["aaaa", "bbbb"]),
        ("m=audio\na=ice-ufrag:aaaa\nm=video\na=ice-ufrag:aaaa\n", &["aaaa"]),
        ("a=ice-ufrag:abc\r\n", &[]),
        ("a=ice-ufrag:ab=_\r\n", &[]),
        ("v=0\r\n", &[]),
    ] {
        assert_eq!(offer_ufrags(offer), ufrags, "{offer}");
    }
}
