use super::*;

/// The example of RFC 8840 §9.1, with another candidate.
const FRAGMENT: &str = "a=ice-ufrag:P2uR\r\n\
    a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh1A\r\n\
    m=audio 9 RTP/AVP 0\r\n\
    a=mid:0\r\n\
    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host\r\n\
    a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host\r\n\
    a=end-of-candidates\r\n";

#[test]
fn a_fragment_carries_candidates_and_credentials() {
    let fragment = Fragment::parse(FRAGMENT).unwrap();
    assert_eq!(fragment.credentials(), Ok(("P2uR", "YH75Fviy6338Vbrhrlp8Yh1A")));
    assert_eq!(fragment.sections.len(), 1);
    assert_eq!(fragment.sections[0].mid, "0");
    assert_eq!(fragment.candidates().count(), 2);
    assert!(fragment.end_of_candidates());
    assert_eq!(fragment.check_characters(), Ok(()));
    assert_eq!(Fragment::parse(&fragment.write()), Ok(fragment));
}

#[test]
fn credentials_and_candidates_are_read_wherever_they_are() {
    let inside = "m=video 9 X 0\r\na=mid:1\r\na=ice-ufrag:EsAw\r\na=candidate:1\r\n";
    assert_eq!(Fragment::parse(inside).unwrap().ufrag.as_deref(), Some("EsAw"));
    let bare = Fragment::parse("a=candidate:1 1 udp 1 192.0.2.1 1 typ host\n").unwrap();
    assert_eq!(bare.candidates().count(), 1);
    assert!(!bare.end_of_candidates());
    assert_eq!(Fragment::parse("").unwrap(), Fragment::default());
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
    let fragment = Fragment::parse(&format!("{FRAGMENT}m=video 9 X 0\r\na=candidate:1\r\n"));
    assert_eq!(
        fragment.unwrap().ice_candidates(),
        [
            candidate(first, Some("0")),
            candidate(second, Some("0")),
            candidate("", Some("0")),
            candidate("candidate:1", None),
        ]
    );
}

#[test]
fn what_is_wrong_with_a_fragment_is_named() {
    let pwd = "a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh1A\r\n";
    let ufrag = "a=ice-ufrag:P2uR\r\n";
    let many = "a=candidate:1\r\n".repeat(MAX_CANDIDATES);
    assert!(Fragment::parse(&many).is_ok());
    let candidate = "candidate:".len();
    let fits = format!(
        "{ufrag}{pwd}a=mid:{}\r\na=candidate:{}\r\n",
        "m".repeat(MAX_MID_CHARS),
        "c".repeat(MAX_CANDIDATE_CHARS - candidate)
    );
    assert_eq!(Fragment::parse(&fits).unwrap().ice_candidates().len(), 1);
    for (text, error) in [
        (String::new(), FragmentError::Ufrag),
        (pwd.to_owned(), FragmentError::Ufrag),
        (ufrag.to_owned(), FragmentError::Pwd),
        (format!("a=ice-ufrag:x\r\n{pwd}"), FragmentError::Ufrag),
        (format!("a=ice-ufrag:a b c\r\n{pwd}"), FragmentError::Ufrag),
        (format!("{ufrag}{pwd}{many}a=candidate:1\r\n"), FragmentError::TooMany),
        (format!("{ufrag}{pwd}{many}a=end-of-candidates\r\n"), FragmentError::TooMany),
        (fits.replace("a=mid:", "a=mid:m"), FragmentError::TooLong),
        (fits.replace("a=candidate:", "a=candidate:c"), FragmentError::TooLong),
        ("nonsense".to_owned(), FragmentError::Line),
        ("abc=1".to_owned(), FragmentError::Line),
        (format!("{ufrag}{pwd}a=mid:a\rb\r\n"), FragmentError::Mid),
        (format!("{ufrag}{pwd}a=mid:a b\r\n"), FragmentError::Mid),
        (format!("{ufrag}{pwd}a=candidate:\u{1}\r\n"), FragmentError::Candidate),
    ] {
        let found = Fragment::parse(&text)
            .and_then(|fragment| fragment.credentials().map(|_| fragment.clone()))
            .and_then(|fragment| fragment.check_characters());
        assert_eq!(found, Err(error), "{text}");
    }
}

#[test]
fn an_offer_names_its_user_name_fragment() {
    for (offer, ufrag) in [
        ("v=0\r\na=ice-ufrag:abcd\r\n", Some("abcd")),
        ("v=0\na=ice-ufrag:ab+/\n", Some("ab+/")),
        ("a=ice-ufrag:abc\r\n", None),
        ("a=ice-ufrag:ab=_\r\n", None),
        ("v=0\r\n", None),
    ] {
        assert_eq!(offer_ufrag(offer), ufrag, "{offer}");
    }
}
