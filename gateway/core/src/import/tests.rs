use super::*;

/// Returns an entry in one line: name, addresses, login and notes; `-` in front if it is not to be
/// added by itself.
fn line(entry: &Entry) -> String {
    let mut parts = vec![format!("{}{}:", if entry.wanted { "" } else { "-" }, entry.name)];
    match &entry.place {
        Some(Place::Streams { main, sub, onvif }) => {
            parts.push(main.url());
            parts.extend(sub.as_ref().map(|sub| format!("sub={}", sub.url())));
            parts.extend(onvif.as_ref().map(|onvif| format!("onvif={onvif}")));
        }
        Some(Place::Device(address)) => parts.push(format!("device={address}")),
        None => {}
    }
    match &entry.login {
        Login::Open => {}
        Login::Known(login) => parts.push(format!("[{} {}]", login.user, login.password)),
        Login::Missing => parts.push("[?]".to_owned()),
    }
    if entry.on_demand {
        parts.push("on-demand".to_owned());
    }
    for note in &entry.notes {
        let values: Vec<_> = note.values().into_values().collect();
        let value = values.first().map(|value| format!("({value})")).unwrap_or_default();
        parts.push(format!("{}{value}", note.key()));
    }
    parts.join(" ")
}

#[track_caller]
fn check(program: Program, file: &str, expected: &[&str]) {
    let import = read(file.as_bytes()).unwrap();
    assert_eq!(import.program, program);
    assert_eq!(import.left_out, 0);
    let found: Vec<String> = import.entries.iter().map(line).collect();
    assert_eq!(found, expected);
    for entry in &import.entries {
        let is_failed = entry.notes.iter().any(Note::is_failure);
        assert_eq!(is_failed, entry.place.is_none(), "{entry:?}");
        for note in &entry.notes {
            let text = note.to_string();
            assert!(!text.contains('\n') && !text.contains("geheim"), "{text}");
            for value in note.values().values() {
                assert!(text.contains(value.as_str()), "{text} has {value}");
            }
        }
    }
}

#[test]
fn the_kinds_of_sources_in_the_documentation_of_go2rtc_give_their_cameras() {
    let file = "
streams:
  dahua: rtsp://admin:geheim@10.0.0.5/cam/realmonitor?channel=1&subtype=0&unicast=true&proto=Onvif
  dahua_sub: rtsp://admin:geheim@10.0.0.5/cam/realmonitor?channel=1&subtype=1#backchannel=0
  doorbell:
    - rtsp://admin:ge%23heim@10.0.0.6:554/h264Preview_01_main#timeout=30#media=video
    - ffmpeg:doorbell#audio=opus
  unifi: rtspx://10.0.0.7:7441/fD6ouM72bWoFijxK
  glitchy: ffmpeg:rtsp://u:geheim@10.0.0.8/live/ch00_1#video=copy#audio=pcma
  turned: ffmpeg:rtsp://12345678@10.0.0.9/av_stream/ch0#video=h264#rotate=90
  turned again: ffmpeg:turned#video=h264
  tapo: onvif://admin:geheim@10.0.0.10:2020?subtype=profile_1
  tapo2: onvif://admin:geheim@10.0.0.10:2020?subtype=profile_2
  service: onvif://admin:geheim@10.0.0.11/onvif/device_service?subtype=000
  from_environment: rtsp://rtsp:${CAMERA_PASSWORD}@10.0.0.12/ch0
  from_default: rtsp://${USER:viewer}:${PASS:geheim}@10.0.0.13/ch0
  host_from_environment: rtsp://u:geheim@${HOST}/ch0
  secret: !secret front_url
  sound_first: [\"rtsp://10.0.0.14/a#media=audio\", \"rtsp://10.0.0.14/v\"]
  sound_only: rtsp://10.0.0.14/a#media=audio
  websocket: rtsp://u:geheim@10.0.0.15/x#transport=ws://u:geheim@10.0.0.15/rtsp-over-websocket
  incoming:
  listed: [{url: rtsp://10.0.0.16/x}]
  mapped: {url: [rtsp://10.0.0.17/x]}
";
    check(
        Program::Go2rtc,
        file,
        &[
            "dahua: rtsp://10.0.0.5/cam/realmonitor?channel=1&subtype=0&unicast=true&proto=Onvif \
             sub=rtsp://10.0.0.5/cam/realmonitor?channel=1&subtype=1 [admin geheim]",
            "doorbell: rtsp://10.0.0.6:554/h264Preview_01_main [admin ge#heim]",
            "unifi: rtsps://10.0.0.7:7441/fD6ouM72bWoFijxK",
            "glitchy: rtsp://10.0.0.8/live/ch00_1 [u geheim]",
            "turned: rtsp://10.0.0.9/av_stream/ch0 [12345678 ] converted",
            "-turned again: rtsp://10.0.0.9/av_stream/ch0 [12345678 ] converted duplicate(turned)",
            "tapo: device=10.0.0.10:2020 [admin geheim]",
            "-tapo2: device=10.0.0.10:2020 [admin geheim] duplicate(tapo)",
            "service: device=http://10.0.0.11/onvif/device_service [admin geheim]",
            "from_environment: rtsp://10.0.0.12/ch0 [?] password(CAMERA_PASSWORD)",
            "from_default: rtsp://10.0.0.13/ch0 [viewer geheim]",
            "-host_from_environment: variable(HOST)",
            "-secret: variable(front_url)",
            "sound_first: rtsp://10.0.0.14/v",
            "-sound_only: no-video",
            "-websocket: tunnel",
            "-incoming: pushed",
            "listed: rtsp://10.0.0.16/x",
            "mapped: rtsp://10.0.0.17/x",
        ],
    );
}

#[test]
fn what_is_not_taken_of_go2rtc_is_named() {
    type Case = (&'static str, &'static str);
    let cases: &[Case] = &[
        ("exec:ffmpeg -re -i geheim.mp4 -c copy -f flv -", "command(exec)"),
        ("exec:touch /tmp/geheim", "command(exec)"),
        ("echo:python geheim.py", "command(echo)"),
        ("expr:let token = 'geheim'; token", "command(expr)"),
        ("ffmpeg:device?video=0#video=h264", "attached(device)"),
        ("ffmpeg:virtual?video#video=h264", "attached(device)"),
        ("ffmpeg:/media/geheim.mp4", "attached(file)"),
        ("v4l2:device?video=/dev/video0", "attached(v4l2)"),
        ("http://10.0.0.1/flv?user=admin&password=geheim", "http"),
        ("ffmpeg:https://u:geheim@10.0.0.1/index.m3u8#video=copy", "http"),
        ("rtmp://10.0.0.1/bcs/channel0?user=admin&password=geheim", "protocol(rtmp)"),
        ("homekit://10.0.0.1:5001?device_id=geheim", "protocol(homekit)"),
        ("tapo://geheim@10.0.0.1", "protocol(tapo)"),
        ("kasa://u:geheim@10.0.0.1:19443/https/stream/mixed", "protocol(kasa)"),
        ("dvrip://u:geheim@10.0.0.1:34567?channel=0", "protocol(dvrip)"),
        ("bubble://u:geheim@10.0.0.1/bubble/live?ch=0", "protocol(bubble)"),
        ("isapi://u:geheim@10.0.0.1:80/", "protocol(isapi)"),
        ("webrtc:http://10.0.0.1/api/webrtc?src=geheim", "protocol(webrtc)"),
        ("hass:Front door", "protocol(hass)"),
        ("ring:?device_id=1&refresh_token=geheim", "cloud(ring)"),
        ("nest:?client_id=1&client_secret=geheim", "cloud(nest)"),
        ("ffmpeg:garage#video=h264", "reference(garage)"),
        ("rtsp://localhost:8554/garage", "reference(garage)"),
        ("ffmpeg:here#video=h264", "reference(here)"),
        ("geheim", "address(3)"),
        ("rtsp://", "address(3)"),
        ("rtsp://]/x", "address(3)"),
        ("onvif://[]", "address(3)"),
        ("rtsp://u:ge#heim@10.0.0.1/x", "address(3)"),
        ("rtsp://u:12/geheim@10.0.0.1/x", "address(3)"),
        ("rtsp://u:p@x/geheim@10.0.0.1/x", "address(3)"),
        ("rtsp://u:geheim@10.0.0.1:99999/x", "address(3)"),
        ("ffmpeg:ffmpeg:rtsp://10.0.0.1/x", "address(3)"),
    ];
    for (source, expected) in cases {
        let quoted = source.replace('\'', "''");
        let file = format!("streams:\n  here:\n    - '{quoted}'\n");
        check(Program::Go2rtc, &file, &[&format!("-here: {expected}")]);
    }
}

#[test]
fn two_streams_of_one_camera_become_one_camera_if_they_are_named_alike() {
    type Case = (&'static str, &'static [&'static str]);
    let cases: &[Case] = &[
        ("yard: rtsp://h/1, yard_sub: rtsp://h/2", &["yard: rtsp://h/1 sub=rtsp://h/2"]),
        ("yard_sub: rtsp://h/2, yard: rtsp://h/1", &["yard: rtsp://h/1 sub=rtsp://h/2"]),
        ("yard_hd: rtsp://h/1, yard_sd: rtsp://h/2", &["yard: rtsp://h/1 sub=rtsp://h/2"]),
        ("Yard-Main: rtsp://h/1, yard-sub: rtsp://h/2", &["yard: rtsp://h/1 sub=rtsp://h/2"]),
        ("yard: rtsp://h/1, yard_sub: rtsp://i/2", &["yard: rtsp://h/1", "yard_sub: rtsp://i/2"]),
        (
            "yard: 'rtsp://a:b@h/1', yard_sub: 'rtsp://a:c@h/2'",
            &["yard: rtsp://h/1 [a b]", "yard_sub: rtsp://h/2 [a c]"],
        ),
        ("yard_sub: rtsp://h/2", &["yard_sub: rtsp://h/2"]),
        (
            "yard: 'rtmp://h/1', yard_sub: rtsp://h/2",
            &["-yard: protocol(rtmp)", "yard_sub: rtsp://h/2"],
        ),
        ("yard: rtsp://h/1, yard_sub: 'ffmpeg:yard#video=h264'", &["yard: rtsp://h/1"]),
        ("_sub: rtsp://h/2", &["_sub: rtsp://h/2"]),
    ];
    for (streams, expected) in cases {
        check(Program::Go2rtc, &format!("streams: {{{streams}}}"), expected);
    }
}

#[test]
fn the_examples_in_the_documentation_of_frigate_give_their_cameras() {
    // A complete one: inputs of its own, go2rtc, variables, anchors, ONVIF.
    let file = "
mqtt:
  enabled: True
  host: mqtt.lan
  user: '{FRIGATE_MQTT_USER}'
environment_vars:
  FRIGATE_YARD: geheim
birdseye: {restream: True}
detect: &detect
  enabled: true
go2rtc:
  streams:
    test_cam:
      - rtsp://u:geheim@192.168.1.5:554/live0
      - \"ffmpeg:test_cam#audio=opus\"
    test_cam_sub:
      - rtsp://u:geheim@192.168.1.5:554/substream
    porch:
      - ffmpeg:http://192.168.1.9/flv?password=geheim#video=copy
    spare: rtsp://192.168.1.99/x
cameras:
  back:
    ffmpeg:
      inputs:
        - path: rtsp://viewer:{FRIGATE_RTSP_PASSWORD}@10.0.10.10:554/cam?channel=1&subtype=2
          roles: [audio, detect, record]
    onvif: {host: 10.0.10.10, port: 80, user: viewer, password: '{FRIGATE_RTSP_PASSWORD}'}
    detect: *detect
  test_cam: &template
    ffmpeg:
      inputs:
        - path: rtsp://127.0.0.1:8554/test_cam
          input_args: preset-rtsp-restream
          roles: [record]
        - path: rtsp://127.0.0.1:8554/test_cam_sub
          roles: [detect]
    live: {streams: {Main: test_cam, Sub: test_cam_sub}}
    onvif: {host: 192.168.1.5, port: 8000, user: u, password: geheim}
  two:
    friendly_name: Two streams
    ffmpeg:
      inputs:
        - {path: 'rtsp://10.0.0.2/sub', roles: [detect]}
        - {path: 'rtsp://10.0.0.2/main', roles: [record]}
    onvif: {host: 'https://10.0.0.2', user: u, password: geheim}
  copy:
    <<: *template
    enabled: False
  yard:
    ffmpeg: {inputs: [{path: 'rtsp://u:{FRIGATE_YARD}@10.0.0.3/x', roles: [detect]}]}
    onvif: {host: 10.0.0.4}
  porch:
    ffmpeg: {inputs: [{path: rtsp://127.0.0.1:8554/porch, roles: [detect, record]}]}
  lost:
    ffmpeg: {inputs: [{path: rtsp://127.0.0.1:8554/nowhere, roles: [detect]}]}
  mjpeg:
    ffmpeg: {inputs: [{path: 'http://10.0.0.7/mjpg/video.mjpg', roles: [detect]}]}
";
    check(
        Program::Frigate,
        file,
        &[
            "back: rtsp://10.0.10.10:554/cam?channel=1&subtype=2 \
             onvif=10.0.10.10:80 [?] password(FRIGATE_RTSP_PASSWORD)",
            "test_cam: rtsp://192.168.1.5:554/live0 sub=rtsp://192.168.1.5:554/substream \
             onvif=192.168.1.5:8000 [u geheim]",
            "Two streams: rtsp://10.0.0.2/main sub=rtsp://10.0.0.2/sub \
             onvif=https://10.0.0.2:8000/onvif/device_service [u geheim]",
            "-copy: rtsp://192.168.1.5:554/live0 sub=rtsp://192.168.1.5:554/substream \
             onvif=192.168.1.5:8000 [u geheim] disabled duplicate(test_cam)",
            "yard: rtsp://10.0.0.3/x [u geheim] other-onvif",
            "-porch: http",
            "-lost: reference(nowhere)",
            "-mjpeg: http",
            "-spare: rtsp://192.168.1.99/x spare",
        ],
    );
}

#[test]
fn the_streams_of_frigate_are_found_wherever_they_are() {
    type Case = (&'static str, &'static str, &'static str);
    let cases: &[Case] = &[
        // As before go2rtc was part of it: the camera's own name, and the role `restream`.
        (
            "",
            "ffmpeg: {inputs: [{path: rtsp://127.0.0.1:8554/cam, roles: [record]}, \
             {path: rtsp://h/1, roles: [restream]}, {path: rtsp://h/2, roles: [detect]}]}",
            "cam: rtsp://h/1 sub=rtsp://h/2",
        ),
        // People look at the main stream, which is not recorded.
        (
            "cam_main: rtsp://h/1",
            "ffmpeg: {inputs: [{path: rtsp://h/2, roles: [detect]}]}\n    \
             live: {stream_name: cam_main}",
            "cam: rtsp://h/1 sub=rtsp://h/2",
        ),
        // The sub stream is for people only.
        (
            "cam_low: rtsp://h/2",
            "ffmpeg: {inputs: [{path: rtsp://h/1, roles: [detect, record]}]}\n    \
             live: {streams: {Low: cam_low}}",
            "cam: rtsp://h/1 sub=rtsp://h/2",
        ),
        ("cam: rtsp://h/1", "detect: {enabled: true}", "cam: rtsp://h/1"),
        ("", "detect: {enabled: true}", "-cam: pushed"),
        ("", "ffmpeg:", "-cam: pushed"),
        (
            "",
            "ffmpeg: {inputs: [{path: rtsp://h/1, roles: [record]}, \
             {path: rtsp://i/2, roles: [detect]}]}",
            "cam: rtsp://h/1 other-sub",
        ),
        (
            "other: rtsp://h/1",
            "ffmpeg: {inputs: [{path: 'rtsp://localhost:8554/other?video', roles: [record]}]}",
            "cam: rtsp://h/1",
        ),
    ];
    for (streams, camera, expected) in cases {
        let streams = format!("go2rtc: {{streams: {{{streams}}}}}\n");
        let file = format!("{streams}cameras:\n  cam:\n    {camera}\n");
        check(Program::Frigate, &file, &[expected]);
    }
    // A port of its own.
    let file = "go2rtc: {streams: {a: rtsp://h/1}, rtsp: {listen: ':9554'}}
cameras:
  cam: {ffmpeg: {inputs: [{path: rtsp://127.0.0.1:9554/a, roles: [record]}]}}
";
    check(Program::Frigate, file, &["cam: rtsp://h/1"]);
}

#[test]
fn the_kinds_of_paths_in_the_documentation_of_mediamtx_give_their_cameras() {
    let file = "
logLevel: info
rtspAddress: :8554
pathDefaults:
  sourceOnDemand: no
  runOnReady: sh -c 'touch /tmp/geheim'
paths:
  cam1:
    source: rtsp://u:geheim@10.0.0.1:554/stream
    sourceOnDemand: yes
    runOnReady:
    rtspTransport: tcp
  cam2:
    source: rtsps://10.0.0.2/stream
    sourceFingerprint: 33949e05fffb5ff3e8aa16f8213a6251b4d9363804ba53233c4da9a46d6f2739
  pushed:
  sent:
    runOnInit: ffmpeg -i geheim -f rtsp rtsp://localhost:8554/sent
  pi:
    source: rpiCamera
    rpiCameraWidth: 1920
  tunnelled:
    source: rtsp+http://u:geheim@10.0.0.3/x
  hls:
    source: http://10.0.0.4/stream.m3u8
  rtmp:
    source: rtmp://10.0.0.4/stream
  srt:
    source: srt://10.0.0.4:8890?passphrase=geheim
  whep:
    source: wheps://10.0.0.4/whep
  mpegts:
    source: udp+mpegts://238.0.0.1:1234
  oldudp:
    source: udp://238.0.0.1:1234
  again:
    source: redirect
    sourceRedirect: /cam1
  away:
    source: redirect
    sourceRedirect: rtsp://10.0.0.9/x
  loop:
    source: rtsp://localhost:8554/cam2
  '~^live/(.+)$':
    source: rtsp://10.0.0.5/$G1
  all_others:
";
    check(
        Program::MediaMtx,
        file,
        &[
            "cam1: rtsp://10.0.0.1:554/stream [u geheim] on-demand",
            "cam2: rtsps://10.0.0.2/stream ignored(sourceFingerprint, runOnReady)",
            "-pushed: pushed",
            "-sent: command(runOnInit)",
            "-pi: attached(rpiCamera)",
            "-tunnelled: tunnel",
            "-hls: http",
            "-rtmp: protocol(rtmp)",
            "-srt: protocol(srt)",
            "-whep: protocol(wheps)",
            "-mpegts: protocol(udp+mpegts)",
            "-oldudp: protocol(udp)",
            "-again: rtsp://10.0.0.1:554/stream [u geheim] ignored(runOnReady) duplicate(cam1)",
            "away: rtsp://10.0.0.9/x ignored(runOnReady)",
            "-loop: rtsps://10.0.0.2/stream ignored(runOnReady) duplicate(cam2)",
            "-~^live/(.+)$: pattern",
            "-all_others: pattern",
        ],
    );
}

#[test]
fn settings_of_all_paths_are_those_of_each() {
    let file = "pathDefaults: {source: rtsp://h/1, sourceOnDemand: true}
paths: {a: , b: {source: rtsp://h/2, sourceOnDemand: false}}";
    let expected = ["a: rtsp://h/1 on-demand", "b: rtsp://h/2"];
    check(Program::MediaMtx, file, &expected);
}

#[test]
fn odd_files_are_taken_as_they_are_meant() {
    let expected: &[&str] = &["yard: rtsp://h/1"];
    for file in [
        "\u{FEFF}streams:\r\n  yard: rtsp://h/1\r\n",
        "# café\n---\nstreams: {yard: rtsp://h/1}\n...\n---\nstreams: {other: rtsp://h/2}\n",
        "{\"streams\": {\"yard\": [\"rtsp://h/1\"]}}",
        "go2rtc:\n  streams:\n    yard: rtsp://h/1\n",
        "streams:\n  yard: >-\n    rtsp://h/1\n",
        "streams:\n  yard: \"rtsp://h\\\n    /1\"\n",
        "streams:\n  ? yard\n  : rtsp://h/1\n  ? [a, b]\n  : rtsp://h/2\n",
        "streams:\n  yard:\n  - rtsp://h/1\n",
        "a: &x {yard: rtsp://h/1}\nstreams:\n  <<: *x\n",
        "a: &x {yard: rtsp://h/1}\nstreams:\n  <<: [*x, {yard: rtsp://h/2}]\n",
    ] {
        check(Program::Go2rtc, file, expected);
    }
    let latin = b"streams:\n  k\xFCche: rtsp://h/1\n";
    assert_eq!(read(latin).unwrap().entries[0].name, "küche");
    let twice = "streams:\n  a: rtsp://h/1\n  a: rtsp://h/2\n";
    check(Program::Go2rtc, twice, &["a: rtsp://h/1", "a: rtsp://h/2 twice(3)"]);
    // A name that could have a password is not shown.
    let names = "streams:\n  'rtsp://u:geheim@h/1': rtsp://h/1\n  \"a\\u0007b\": rtsp://h/2\n";
    check(Program::Go2rtc, names, &["Camera: rtsp://h/1", "ab: rtsp://h/2"]);
}

#[test]
fn a_file_that_cannot_be_read_is_one_sentence() {
    type Case = (Vec<u8>, ImportError);
    let deep = "streams: ".to_owned() + &"[".repeat(40) + &"]".repeat(40);
    let wide = format!("streams: [{}]", "a,".repeat(60_000));
    // Each line is ten times the one before.
    let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (from, to) in ["ab", "bc", "cd", "de", "ef", "fg", "gh"].map(|pair| pair.split_at(1)) {
        bomb += &format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 10].join(","));
    }
    let merges = "x: &x {".to_owned()
        + &(0..1000).map(|n| format!("k{n}: v,")).collect::<String>()
        + "}\nstreams:\n"
        + &(0..100).map(|n| format!("  s{n}: {{<<: *x}}\n")).collect::<String>();
    let cases: Vec<Case> = vec![
        (vec![b'a'; MAX_BYTES + 1], ImportError::TooLong),
        (b"\x7FELF\0\0\0".to_vec(), ImportError::Binary),
        (b"streams:\n\tcam: rtsp://h/1\n".to_vec(), ImportError::Tab(2)),
        (b"streams:\n  cam: 'rtsp://h/1\n".to_vec(), ImportError::Syntax(2)),
        (b"streams:\n  cam: a: b\n".to_vec(), ImportError::Syntax(2)),
        (b"streams: *x\n".to_vec(), ImportError::Syntax(1)),
        (deep.into_bytes(), ImportError::TooDeep(1)),
        (wide.into_bytes(), ImportError::TooMany),
        (merges.into_bytes(), ImportError::TooMany),
        (bomb.clone().into_bytes(), ImportError::Unknown),
        ((bomb + "streams:").into_bytes(), ImportError::NoCameras),
        (b"".to_vec(), ImportError::Unknown),
        (b"hello".to_vec(), ImportError::Unknown),
        (b"homeassistant: {name: Home}".to_vec(), ImportError::Unknown),
        (b"streams: {}".to_vec(), ImportError::NoCameras),
        (b"paths:\n".to_vec(), ImportError::NoCameras),
    ];
    for (file, expected) in cases {
        let error = read(&file).unwrap_err();
        let start: String = String::from_utf8_lossy(&file).chars().take(60).collect();
        assert_eq!(error, expected, "{start}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn hostile_files_stay_within_their_bounds() {
    let many: String = (0..10_000).map(|n| format!("  c{n}: rtsp://h/{n}\n")).collect();
    let import = read(format!("streams:\n{many}").as_bytes()).unwrap();
    assert_eq!((import.entries.len(), import.left_out), (MAX_ENTRIES, 10_000 - MAX_ENTRIES));

    // Each stream refers to all of them.
    let names: Vec<String> = (0..100).map(|n| format!("'ffmpeg:c{n}'")).collect();
    let all = names.join(",");
    let tangle: String = (0..100).map(|n| format!("  c{n}: &c{n} [{all}]\n")).collect();
    let import = read(format!("streams:\n{tangle}").as_bytes()).unwrap();
    assert!(import.entries.iter().all(|entry| entry.place.is_none()));

    let long = format!("streams:\n  {}: rtsp://h/{}\n", "n".repeat(900), "x".repeat(100_000));
    let entry = &read(long.as_bytes()).unwrap().entries[0];
    assert_eq!(entry.name.chars().count(), MAX_NAME_CHARS);
    assert!(entry.place.is_none());
}
