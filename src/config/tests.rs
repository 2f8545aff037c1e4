use super::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn read(file: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let mut tree = Tree::default();
    if let Some(error) = tree.add_file(Path::new("porthole.toml"), file).first() {
        return Err(error.to_string());
    }
    tree.add_env(environment(env));
    tree.deserialize().map_err(|error: InvalidSetting| error.to_string())
}

#[test]
fn an_error_in_the_file_is_one_sentence_with_its_line() {
    for (file, sentence) in [
        (
            "[turn]\n\nrelm = \"x\"",
            "porthole.toml:3: unknown key `turn.relm`; the nearest known key is `turn.realm`",
        ),
        (
            "[sigaling]\nhttp = \"x\"",
            "porthole.toml:1: unknown key `sigaling`; the nearest known key is `signaling`",
        ),
        (
            "[camera.door]\nsource = \"test:\"\nsub_sorce = \"test:\"",
            "porthole.toml:3: unknown key `camera.door.sub_sorce`; \
             the nearest known key is `camera.door.sub_source`",
        ),
        (
            "[camera.door]\nname = \"Door\"",
            "porthole.toml:1: the key `camera.door.source` is missing",
        ),
        (
            "[turn]\nworkers = true",
            "porthole.toml:2: `turn.workers`: invalid type: true or false, \
             expected a whole number from 0 to 4294967295",
        ),
        ("[turn]\nworkers = 256", "porthole.toml:2: `turn.workers`: 256 is not between 0 and 255"),
        (
            "[turn]\nrelay_ports = \"9-1\"",
            "porthole.toml:2: `turn.relay_ports`: \
             `9-1` is not a range of ports such as 49152-65535",
        ),
        (
            "[turn]\nallow_peers = [\"10.0.0.0/8\",\n \"fe80::/129\"]",
            "porthole.toml:3: `turn.allow_peers`: \"fe80::/129\" is not an address block \
             like 10.0.0.0/8 or 2001:db8::/32",
        ),
        (
            "[signaling]\nhttp = \"8080\"",
            "porthole.toml:2: `signaling.http`: \
             expected an address and a port such as 127.0.0.1:8080",
        ),
        (
            "[camera.door]\nsource = \"test:\"\nrotation = 45",
            "porthole.toml:3: `camera.door.rotation`: 45 is not a rotation: give 0, 90, 180 or 270",
        ),
        (
            "[camera.door]\nsource = \"test:\"\nonvif = \"http://a:geheim@cam/\"",
            "porthole.toml:3: `camera.door.onvif`: \
             leave user and password out of it: those of `source` are used",
        ),
        (
            "[signaling.openid_connect]\nissuer = \"https://id.example\"",
            "porthole.toml:1: the key `signaling.openid_connect.client_id` is missing",
        ),
        (
            "[signaling.openid_connect]\nissuer = \"i\"\nclient_id = \"a\"\njoin = \"owner\"",
            "porthole.toml:4: `signaling.openid_connect.join`: unknown variant `owner`, expected \
             one of `nobody`, `without_cameras`, `viewer`",
        ),
        (
            "[signaling.turn_server.north]\nurls = [\"stun:a\"]",
            "porthole.toml:2: `signaling.turn_server.north.urls`: none of them is a turn: or \
             turns: URI; STUN servers alone go into signaling.turn_urls",
        ),
        (
            "[signaling.turn_server.north]\nweight = 7",
            "porthole.toml:1: the key `signaling.turn_server.north.urls` is missing",
        ),
        ("data = 7", "porthole.toml:1: `data`: invalid type: a number, expected a path in quotes"),
    ] {
        assert_eq!(read(file, &[]).unwrap_err(), sentence);
    }
}

#[test]
fn a_file_that_is_not_toml_is_one_sentence_with_its_line() {
    for (file, start) in [
        ("[turn]\nrealm =", "porthole.toml:2: "),
        ("[turn\n", "porthole.toml:1: "),
        ("data = \"a\"\ndata = \"b\"", "porthole.toml:2: "),
        ("[turn]\nworkers = 99999999999999999999", "porthole.toml:2: "),
    ] {
        let sentence = read(file, &[]).unwrap_err();
        assert!(sentence.starts_with(start), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
    }
}

#[test]
fn an_error_never_shows_the_value_of_a_secret() {
    for file in [
        "turn.users.anna = 4711471147114711",
        "turn.users = \"anna:4711471147114711\"",
        "turn.old_secrets = [4711471147114711]",
        "turn.old_secrets = 4711471147114711",
        "turn.secret = 4711471147114711.5",
        "turn.secret = [\"4711471147114711\"]",
        "turn = \"4711471147114711\"",
        "admin = { token = 4711471147114711 }",
        "turn.secret = geheim-4711471147114711",
        "[camera]\ndoor = \"rtsp://anna:4711471147114711@10.0.0.9/\"",
        "[camera.door]\nsource = 4711471147114711",
        "[camera.door]\nsource = \"ftp://anna:4711471147114711@10.0.0.9/\"",
        "[camera.door]\nsource = \"rtsp://anna:4711471147114711@10.0.0.9:port/\"",
    ] {
        let sentence = read(file, &[]).unwrap_err();
        assert!(sentence.starts_with("porthole.toml:"), "{sentence}");
        assert!(!sentence.contains("4711"), "{sentence}");
    }
}

#[test]
fn all_errors_are_named_at_once_in_the_order_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("porthole.toml");
    let text = "data = \"/d\"\nlog_format = \"xml\"\n[turn]\nrelm = \"a\"\nworkers = 256\n\
        allow_peers = [\"10.0.0.0/8\", \"fe80::/129\",\n  \"x\"]\nrelay_ports = \"9-1\"\n\
        [gateway]\ncamera_connect_timeout = \"10\"\nturn_only = 1\nudp_port = 65536\n\
        [camera.door]\nname = \"Door\"\nsub_sorce = \"test:\"\n\
        [camera.\"a b\"]\nsource = \"test:\"\n[camera.yard]\nsource = \"ftp://x\"";
    std::fs::write(&file, text).unwrap();
    let env = environment(&[
        ("PORTHOLE__SIGNALING__HTTP", "8080"),
        ("PORTHOLE__SIGNALING__PUBLIC_UR", "https://example.org"),
    ]);
    let flags = |tree: &mut Tree| tree.add_flag("--workers", &["turn", "drain_s"], Some("soon"));
    let errors = check::check_with(Some(&file), &env, flags).unwrap_err();
    let place = format!("{}:", file.display());
    let found: Vec<_> = errors.iter().map(|error| error.to_string().replace(&place, "")).collect();
    let expected = [
        "2: `log_format`: unknown variant `xml`, expected `text` or `json`",
        "4: unknown key `turn.relm`; the nearest known key is `turn.realm`",
        "5: `turn.workers`: 256 is not between 0 and 255",
        "6: `turn.allow_peers`: \"fe80::/129\" is not an address block like 10.0.0.0/8 or \
         2001:db8::/32",
        "7: `turn.allow_peers`: \"x\" is not an address block like 10.0.0.0/8 or 2001:db8::/32",
        "8: `turn.relay_ports`: `9-1` is not a range of ports such as 49152-65535",
        "10: `gateway.camera_connect_timeout`: `10` is not a length of time such as 90s, 15m, 1h \
         or 30d",
        "11: `gateway.turn_only`: invalid type: a number, expected true or false",
        "12: `gateway.udp_port`: invalid value: integer `65536`, expected a whole number from 0 \
         to 65535",
        "13: the key `camera.door.source` is missing",
        "15: unknown key `camera.door.sub_sorce`; the nearest known key is \
         `camera.door.sub_source`",
    ];
    assert_eq!(found.get(..expected.len()), Some(&expected.map(str::to_owned)[..]), "{found:#?}");
    let rest = found.get(expected.len()..).unwrap();
    for (error, start) in rest.iter().zip([
        "16: `camera.a b`: ",
        "19: `camera.yard.source`: ",
        "PORTHOLE__SIGNALING__HTTP: expected an address and a port such as 127.0.0.1:8080",
        "unknown key `PORTHOLE__SIGNALING__PUBLIC_UR`; the nearest known key is \
         `PORTHOLE__SIGNALING__PUBLIC_URL`",
        "--workers: ",
    ]) {
        assert!(error.starts_with(start), "{error} does not start with {start}");
    }
    assert_eq!(rest.len(), 5, "{rest:#?}");
}

#[test]
fn several_lines_that_are_not_toml_are_named_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("porthole.toml");
    std::fs::write(&file, "[turn]\nrealm =\nworkers = 999\nmobility = maybe\n").unwrap();
    let errors = check::check_with(Some(&file), &environment(&[("HOME", "/h")]), |_| {});
    let errors: Vec<_> = errors.unwrap_err().iter().map(ToString::to_string).collect();
    for line in [":2: ", ":3: `turn.workers`: 999 is not between 0 and 255", ":4: "] {
        assert!(errors.iter().any(|error| error.contains(line)), "{line} in {errors:#?}");
    }
}

#[test]
fn the_shown_configuration_names_the_origin_of_each_value_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("porthole.toml");
    let text = "data = \"/d\"\n[turn]\nsecret = \"a-hidden-one\"\nlisten = [\"1.1.1.1:1\"]\n\
        [camera.\"front.door\"]\nsource = \"rtsp://user:a-hidden-one@10.0.0.9/1\"";
    std::fs::write(&file, text).unwrap();
    let env = environment(&[("PORTHOLE__TURN__REALM", "home")]);
    let flags = |tree: &mut Tree| tree.add_flag("--workers", &["turn", "workers"], Some("2"));
    let Loaded { config, origins, .. } = load_with(Some(&file), &env, flags).unwrap();
    let shown = shown(&config, &origins).unwrap();
    let place = file.display();
    for line in [
        format!("data = \"/d\" # {place}:1"),
        format!("secret = \"…\" # {place}:3"),
        format!("listen = [\"1.1.1.1:1\"] # {place}:4"),
        "[camera.\"front.door\"]".to_owned(),
        format!("source = \"rtsp://user:***@10.0.0.9/1\" # {place}:6"),
        "realm = \"home\" # PORTHOLE__TURN__REALM".to_owned(),
        "workers = 2 # --workers".to_owned(),
        "name = \"gateway\" # default".to_owned(),
    ] {
        assert!(shown.lines().any(|found| found == line), "{line} is not in:\n{shown}");
    }
    assert!(!shown.contains("a-hidden-one"), "{shown}");
    let again: Config = toml::from_str(&shown).unwrap();
    assert_eq!((again.turn.realm, again.camera.len()), (config.turn.realm, 1));
}

#[test]
fn an_error_in_the_environment_is_one_sentence_with_its_variable() {
    for (name, value, sentence) in [
        (
            "PORTHOLE__TURN__RELM",
            "x",
            "unknown key `PORTHOLE__TURN__RELM`; \
             the nearest known key is `PORTHOLE__TURN__REALM`",
        ),
        ("PORTHOLE__TURN", "x", "PORTHOLE__TURN: invalid type: text, expected struct Turn"),
        (
            "PORTHOLE__TURN__WORKERS",
            "many",
            "PORTHOLE__TURN__WORKERS: invalid value: string \"many\", \
             expected a whole number from 0 to 4294967295",
        ),
    ] {
        assert_eq!(read("", &[(name, value)]).unwrap_err(), sentence);
    }
}

#[test]
fn the_environment_overrides_the_file_and_a_flag_overrides_both() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("porthole.toml");
    std::fs::write(&file, "[turn]\nrealm = \"file\"\nlisten = [\"1.1.1.1:1\"]\nworkers = 3")
        .unwrap();
    let env = environment(&[
        ("PORTHOLE__TURN__REALM", "env"),
        ("PORTHOLE__TURN__LISTEN", "2.2.2.2:2, [::1]:2"),
        ("PORTHOLE__TURN__USERS__ALICE", "secret"),
        ("PORTHOLE__GATEWAY__TURN_ONLY", "true"),
        ("PORTHOLE__CAMERA__DOOR__SOURCE", "test:"),
        ("PORTHOLE__DATA", folder.path().to_str().unwrap()),
        ("PORTHOLE_LOG", "debug"),
    ]);
    let flags = |tree: &mut Tree| tree.add_flag("--realm", &["turn", "realm"], Some("flag"));
    let Loaded { config, file: found, .. } = load_with(None, &env, flags).unwrap();
    assert_eq!(found, Some(file), "not the file in the data folder");
    assert_eq!(config.turn.realm, "flag");
    let listen: Vec<_> = config.turn.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["2.2.2.2:2", "[::1]:2"]);
    assert_eq!(config.turn.workers.get(), 3);
    assert_eq!(config.turn.users["alice"].reveal(), "secret");
    assert!(config.gateway.turn_only);
    assert_eq!(config.camera[&"door".parse().unwrap()].source.reveal(), "test:");
    assert_eq!(config.data, folder.path());
}

#[test]
fn the_default_data_folder_is_below_home() {
    for (env, data) in [
        (&[("HOME", "/h")][..], "/h/.local/share/porthole"),
        (&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")], "/d/porthole"),
        (&[("HOME", "/h"), ("XDG_DATA_HOME", "relative")], "/h/.local/share/porthole"),
    ] {
        let loaded = load_with(None, &environment(env), |_| {}).unwrap();
        assert_eq!(loaded.config.data, Path::new(data));
    }
    assert!(matches!(load_with(None, &[], |_| {}), Err(Error::NoDataFolder)));
}

#[test]
fn no_secret_is_shown() {
    let config = read(
        "[turn]\nsecret = \"s3\"\nusers.bob = \"s3\"\n[gateway]\nclaim = \"s3\"\n\
         [signaling]\nturn_secret = \"s3\"\n\
         [signaling.turn_server.a]\nurls = [\"turn:a\"]\nsecret = \"s3\"\n\
         [signaling.openid_connect]\nissuer = \"https://id.example\"\nclient_id = \"a\"\n\
         client_secret = \"s3\"\n\
         [camera.door]\nsource = \"rtsp://user:s3@10.0.0.9/1\"\n\
         sub_source = \"rtsp://10.0.0.9/user=a&password=s3&channel=1\"",
        &[],
    )
    .unwrap();
    for shown in [toml::to_string(&config).unwrap(), format!("{config:?}")] {
        assert!(!shown.contains("s3"), "{shown}");
        assert!(shown.contains("user:***@10.0.0.9"), "{shown}");
    }
}

#[test]
fn s15_a_configuration_knows_if_it_has_secrets() {
    for (text, expected) in [
        ("", false),
        ("[turn]\nrealm = \"home\"", false),
        ("[camera.a]\nsource = \"rtsp://10.0.0.9/1\"", false),
        ("[camera.a]\nsource = \"rtsp://user:s3@10.0.0.9/1\"", true),
        ("[camera.a]\nsource = \"test:\"\nsub_source = \"rtsp://u:s3@10.0.0.9/1\"", true),
        ("[turn]\nsecret = \"s3\"", true),
        ("[turn]\nusers.bob = \"s3\"", true),
        ("[turn]\nold_secrets = [\"s3\"]", true),
        ("[turn]\nadmin_token = \"s3\"", true),
        ("[admin]\ntoken = \"s3\"", true),
        ("[gateway]\nclaim = \"s3\"", true),
        ("[signaling]\nturn_secret = \"s3\"", true),
        ("[signaling.turn_server.a]\nurls = [\"turn:a\"]", false),
        ("[signaling.turn_server.a]\nurls = [\"turn:a\"]\nsecret = \"s3\"", true),
        ("[signaling.openid_connect]\nissuer = \"i\"\nclient_id = \"a\"", false),
        (
            "[signaling.openid_connect]\nissuer = \"i\"\nclient_id = \"a\"\n\
             client_secret = \"s3\"",
            true,
        ),
    ] {
        assert_eq!(read(text, &[]).unwrap().has_secrets(), expected, "{text}");
    }
}

#[test]
fn the_shown_configuration_can_be_loaded_again() {
    let shown = toml::to_string(&Config { data: "/d".into(), ..Config::default() }).unwrap();
    assert_eq!(read(&shown, &[]), Ok(Config { data: "/d".into(), ..Config::default() }));
}

#[test]
fn values_are_parsed() {
    for (text, seconds) in
        [("90s", Some(90)), ("15m", Some(900)), ("1h", Some(3600)), ("30d", Some(2_592_000))]
    {
        assert_eq!(text.parse::<Span>().ok().map(|span| span.seconds), seconds);
    }
    for text in ["", "h", "0s", "1", "1w", "-1h", "1 h", "99999999999h", "9999999d"] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
    for (text, shown) in
        [("10.0.0.0/8", "10.0.0.0/8"), ("::1", "::1/128"), ("1.2.3.4", "1.2.3.4/32")]
    {
        assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
    }
    for text in ["door", "=test:", "door=", "-a=test:", "a b=test:"] {
        assert!(text.parse::<CameraFlag>().is_err(), "{text}");
    }
}

/// Returns all known keys, taken from the errors for unknown ones.
pub fn known_keys() -> Vec<String> {
    let known = |path: &[&str]| {
        let mut tree = Tree::default();
        tree.add_flag("--x", &[path, &["?"]].concat(), Some("?"));
        tree.deserialize::<Config>().err().and_then(|error| error.known_keys()).unwrap_or_default()
    };
    let mut keys = Vec::new();
    for top in known(&[]) {
        let above: &[&str] = if *top == "camera" { &["camera", "ID"] } else { &[top] };
        let below = known(above);
        if below.is_empty() {
            keys.push((*top).to_owned());
        }
        for key in below {
            let mut path = [above, &[key]].concat();
            if path == ["signaling", "turn_server"] {
                path.push("NAME");
            }
            // A name has no upper-case letters.
            let lower: Vec<_> = path.iter().map(|part| part.to_lowercase()).collect();
            let inner = known(&lower.iter().map(String::as_str).collect::<Vec<_>>());
            let name = path.join(".");
            match inner.is_empty() {
                true => keys.push(name),
                false => keys.extend(inner.iter().map(|inner| format!("{name}.{inner}"))),
            }
        }
    }
    keys
}

#[test]
fn every_key_is_in_the_reference() {
    let reference = include_str!("../../docs/ref/config.md");
    let first = |line: &'static str| line.strip_prefix("| `")?.split('`').next();
    // The reference also lists environment variables, in upper case.
    let is_key = |name: &&str| name.contains(|c: char| c.is_ascii_lowercase());
    let documented: Vec<&str> = reference.lines().filter_map(first).filter(is_key).collect();
    let known = known_keys();
    assert!(known.len() > 20, "{known:?}");
    for key in &known {
        assert!(documented.contains(&key.as_str()), "docs/ref/config.md lacks `{key}`");
    }
    for key in &documented {
        assert!(
            known.iter().any(|known| known == key),
            "docs/ref/config.md has the unknown `{key}`"
        );
    }
}

#[test]
fn the_example_file_has_every_key() {
    let example = include_str!("../../deploy/porthole.example.toml");
    // A commented-out setting is one whose line starts with `#` and no space.
    let live: Vec<&str> = example
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let config = read(&live.join("\n"), &[]).unwrap();
    read(example, &[]).unwrap();
    let shown: toml::Table = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
    for key in known_keys() {
        let mut place = Some(&toml::Value::Table(shown.clone())).cloned();
        for part in key.split('.') {
            place = place.and_then(|place| match (part, place) {
                ("ID" | "NAME", toml::Value::Table(table)) => {
                    table.into_iter().next().map(|(_, v)| v)
                }
                (part, toml::Value::Table(mut table)) => table.remove(part),
                _ => None,
            });
        }
        assert!(place.is_some(), "deploy/porthole.example.toml lacks `{key}`");
    }
}
