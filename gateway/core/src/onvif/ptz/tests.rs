use super::*;

fn root(text: &str) -> Element {
    Element::read(text.as_bytes())
}

#[test]
fn absurd_ranges_are_taken_for_the_usual_ones() {
    for (min, max, percent, expected) in [
        ("-1", "1", 50, "0.5000"),
        ("-0.5", "2", 100, "2.0000"),
        ("-0.5", "2", -100, "-0.5000"),
        ("-100", "100", 1, "1.0000"),
        ("0", "1", -100, "-1.0000"),
        ("1", "-1", 100, "1.0000"),
        ("-1e99", "1e99", 100, "1.0000"),
        ("NaN", "inf", 100, "1.0000"),
        ("", "", 300, "1.0000"),
        ("x", "1", 0, "0"),
    ] {
        let range = format!("<XRange><Min>{min}</Min><Max>{max}</Max></XRange>");
        let speed = Range::read(root(&range).find("XRange")).speed(percent);
        assert_eq!(speed, expected, "{min} to {max}");
    }
}

#[test]
fn the_configuration_of_both_media_services_is_read() {
    let first = "<Profiles token=\"m\"><VideoSourceConfiguration><SourceToken>s</SourceToken>\
        </VideoSourceConfiguration><PTZConfiguration token=\"c\"><Name>x</Name><NodeToken>n\
        </NodeToken></PTZConfiguration></Profiles><Profiles token=\"o\"/>";
    let second = "<Profiles token=\"m\"><Configurations><VideoSource><SourceToken>s</SourceToken>\
        </VideoSource><PTZ token=\"c\"><NodeToken>n</NodeToken></PTZ></Configurations></Profiles>";
    for document in [first, second] {
        let settings = Setting::read_all(&root(document));
        let [setting] = &settings[..] else { panic!("{settings:?}") };
        let Setting { profile, source, configuration, node, .. } = setting;
        assert_eq!([profile, source, configuration, node], ["m", "s", "c", "n"]);
    }
    let long = "x".repeat(MAX_TOKEN + 1);
    for token in ["", "a\nb", &long] {
        let document = format!("<Profiles token=\"{token}\"><PTZ token=\"c\"/></Profiles>");
        assert_eq!(Setting::read_all(&root(&document)), [], "{token}");
    }
}

#[test]
fn presets_are_read_whatever_their_names_are() {
    let long = "n".repeat(500);
    let document = format!(
        "<Preset token=\"1\"><Name>Gate</Name></Preset><Preset token=\"1\"><Name>Again</Name>\
         </Preset><Preset><Name>No token</Name></Preset><Preset token=\"2\"/>\
         <Preset token=\"3\"><Name>{long}</Name></Preset><Preset token=\"4\"><Name>a\nb</Name>\
         </Preset>"
    );
    let presets = Preset::read_all(&root(&document));
    let names: Vec<_> = presets.iter().map(|it| (it.token.as_str(), it.name.as_str())).collect();
    let cut = &long[..MAX_PRESET_NAME];
    assert_eq!(names[..3], [("1", "Gate"), ("2", "2"), ("3", cut)]);
    assert!(!names[3].1.contains('\n'));
    let many: String = (0..999).map(|n| format!("<Preset token=\"{n}\"/>")).collect();
    assert_eq!(Preset::read_all(&root(&many)).len(), MAX_PRESETS);
}

#[test]
fn what_people_type_is_no_part_of_the_document() {
    let body = PtzCall::Save("<Stop>&".to_owned()).body("a<b", &Abilities::default());
    assert!(body.contains("<c:ProfileToken>a&lt;b</c:ProfileToken>"), "{body}");
    assert!(body.contains("<c:PresetName>&lt;Stop&gt;&amp;</c:PresetName>"), "{body}");
}
