use super::*;

fn camera(has_sub: bool) -> Camera {
    let id = "door".parse().unwrap();
    let settings = CameraSettings {
        id,
        name: "Door".to_owned(),
        on_demand: true,
        has_sub,
        picture: Picture::default(),
        provisional: false,
    };
    Camera::new(settings, 1)
}

#[test]
fn a_profile_token_names_a_stream() {
    for (has_sub, profile, expected) in [
        (true, "door", Some(StreamRole::Main)),
        (true, "door.sub", Some(StreamRole::Sub)),
        (false, "door.sub", None),
        (true, "yard", None),
        (true, "yard.sub", None),
    ] {
        let role = camera(has_sub).role_of(&profile.parse().unwrap());
        assert_eq!(role, expected, "{has_sub} {profile}");
    }
}

#[test]
fn a_report_lists_the_streams_if_there_are_several_and_counts_all_viewers() {
    let report = camera(false).report(None);
    assert_eq!((report.viewers, report.streams.len()), (0, 0));

    let mut camera = camera(true);
    for (role, session) in [(StreamRole::Main, "s1"), (StreamRole::Sub, "s2")] {
        let viewer = Viewer { session: session.parse().unwrap(), section: 0 };
        camera.stream_mut(role).unwrap().add_viewer(viewer);
    }
    camera.remove_session(Instant::now(), &"s1".parse().unwrap());
    let report = camera.report(None);
    assert_eq!(report.viewers, 1);
    let streams: Vec<_> = report.streams.iter().map(|s| (s.id.as_str(), s.role)).collect();
    assert_eq!(streams, [("door", StreamRole::Main), ("door.sub", StreamRole::Sub)]);
}
