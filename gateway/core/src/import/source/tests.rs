use super::*;

#[test]
fn variables_are_replaced_only_if_the_file_has_their_values() {
    let variables = Variables(BTreeMap::from([("FRIGATE_A", "x"), ("B", "y")]));
    for (text, expected, first) in [
        ("p{FRIGATE_A}q", "pxq", Some("FRIGATE_A")),
        ("${B}${C}${D:z}${E:}", "y${C}z", Some("B")),
        ("{FRIGATE_Q}{OTHER}", "{FRIGATE_Q}{OTHER}", Some("FRIGATE_Q")),
        ("{b}${", "{b}${", None),
        ("a$MTX_QUERY", "a$MTX_QUERY", Some("MTX_QUERY")),
        ("plain", "plain", None),
    ] {
        assert_eq!(replaced(text, &variables), expected, "{text}");
        assert_eq!(variable_in(text).as_deref(), first, "{text}");
    }
}

#[test]
fn logins_are_decoded_and_bounded() {
    let long = "x".repeat(MAX_PASSWORD_CHARS + 1);
    type Case<'a> = (&'a str, Option<(&'a str, &'a str)>);
    let cases: &[Case<'_>] = &[
        ("a:b", Some(("a", "b"))),
        ("a", Some(("a", ""))),
        ("a%40b:c%3Ad%2f", Some(("a@b", "c:d/"))),
        (":b", Some(("", "b"))),
    ];
    for (text, expected) in cases {
        let Some((Login::Known(login), notes)) = login(Some(text)) else { panic!("{text}") };
        assert_eq!(Some((&*login.user, &*login.password)), *expected);
        assert!(notes.is_empty());
    }
    assert_eq!(
        login(Some(&long)).map(|(login, _)| login),
        login(Some(&format!("u:{long}"))).map(|(login, _)| login)
    );
    assert_eq!(login(Some(&format!("u:{long}"))), None);
    for text in [None, Some(""), Some(":")] {
        assert_eq!(login(text), Some((Login::Open, Vec::new())));
    }
}
