use super::*;

#[test]
fn values_are_found_by_their_keys() {
    let root =
        read("a: {b: [1, '2'], c: ~, d: on}\ne: &e {f: g, h: i}\nj: {<<: *e, h: k}").unwrap();
    let a = root.get("a").unwrap();
    let texts: Vec<_> = a.get("b").unwrap().list().iter().filter_map(|node| node.text()).collect();
    assert_eq!(texts, ["1", "2"]);
    assert_eq!((a.text_of("c"), a.flag_of("d"), a.text_of("x")), (None, Some(true), None));
    let j = root.get("j").unwrap();
    assert_eq!(
        (j.text_of("h"), j.text_of("f"), j.get("<<").is_none()),
        (Some("k"), Some("g"), true)
    );
    assert_eq!((root.line, a.line, j.line), (1, 1, 3));
}

#[test]
fn an_alias_to_what_it_is_part_of_has_no_value() {
    let root = read("a: &a\n  b: *a\n  c: d\n").unwrap();
    let a = root.get("a").unwrap();
    assert_eq!((a.text_of("b"), a.text_of("c")), (None, Some("d")));
}
