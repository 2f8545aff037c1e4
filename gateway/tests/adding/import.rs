//! The cameras of a file are read, probed and added, as the dashboard does it.

use porthole_signaling_proto::manage::file_info;

use super::*;

/// Seals a file as a browser does it, and sends it in pieces. Returns what is heard after the last.
async fn send_file(
    server: &mut Connected,
    gateway: &str,
    file: &str,
    info: Option<&[u8]>,
) -> Heard {
    let key = server.ask("portholeSealingKey", json!({})).await.response["result"].clone();
    let text = |name: &str| key[name].as_str().expect("a text").to_owned();
    let file_info = file_info(&gateway.parse().expect("an id"), &text("nonce"));
    let info = info.unwrap_or(&file_info);
    let (enc, whole) = seal(&text("sealingKey"), info, file.as_bytes()).expect("a key");
    let (first, second) = whole.split_at(whole.len() / 2);
    let piece = |number: u32, ciphertext: &str| {
        let sealed = json!({ "nonce": text("nonce"), "enc": enc, "ciphertext": ciphertext });
        json!({ "sealed": sealed, "piece": number, "pieces": 2, "by": "Ada" })
    };
    let heard = server.ask("portholeReadConfiguration", piece(0, first)).await;
    assert_eq!(heard.response["result"], json!({ "leftOut": 0 }), "{heard:?}");
    server.ask("portholeReadConfiguration", piece(1, second)).await
}

/// Probes a camera of a file, with changes to the parameters.
async fn probe_entry(
    server: &mut Connected,
    import: &Value,
    entry: &Value,
    changes: &[(&str, Value)],
) -> i64 {
    let choice = json!({ "import": import, "entry": entry["number"] });
    let mut params = json!({ "address": entry["address"], "allowsText": false, "import": choice });
    for (key, value) in changes {
        params[*key] = value.clone();
    }
    server.begin("portholeProbe", params).await
}

#[tokio::test]
async fn the_cameras_of_a_file_are_added_and_their_passwords_stay_at_the_gateway() {
    let data = tempfile::tempdir().expect("a folder");
    let server = ScriptedServer::bind().await;
    let (gateway, id) = Running::start(&server, data.path(), Vec::new());
    let mut asking = server.accept().await;
    let camera = guarded(&[("MD5", "")]).start().await;
    let url = camera.url("");
    let with_login = url.replace("rtsp://", &format!("rtsp://ada:{PASSWORD}@"));
    let file = format!(
        "streams:\n  yard: {with_login}/main?pass={PASSWORD}\n  yard_sub: {with_login}/sub\n  \
         old: http://ada:{PASSWORD}@192.0.2.1/\n  attic: rtsp://ada:${{X}}@192.0.2.2/\n"
    );
    let heard = send_file(&mut asking, &id, &file, None).await;
    let result = heard.response["result"].clone();
    assert_eq!(result["program"], "go2rtc", "{heard:?}");
    let [yard, old, attic] = heard.progress.as_slice() else { panic!("{heard:?}") };
    assert_eq!(yard["address"], format!("{url}/main?pass=***"));
    assert_eq!((&yard["sub"], &yard["login"]), (&json!(format!("{url}/sub")), &json!("known")));
    assert_eq!((&old["notes"][0]["key"], &old["address"]), (&json!("http"), &Value::Null));
    assert_eq!((&attic["login"], &attic["wanted"]), (&json!("missing"), &json!(true)));

    let probing = probe_entry(&mut asking, &result["import"], yard, &[]).await;
    let heard = asking.wait(probing, |value| value["camera"].is_object()).await;
    let found = heard.camera().unwrap_or_else(|| panic!("{heard:?}"));
    assert_eq!(found["streams"].as_array().map(Vec::len), Some(2), "{found}");
    asking.cancel(probing).await;
    let provisional = found["id"].as_str().expect("an id").to_owned();
    asking.wait_for_camera(&provisional, |camera| camera["provisional"] == true).await;
    let added = add(&mut asking, 0, &provisional, "yard").await;
    assert_eq!(added.response["result"], json!({ "camera": "yard", "revision": 1 }));

    // The same file again: the camera is known.
    let heard = send_file(&mut asking, &id, &file, None).await;
    let known = &heard.progress[0];
    assert_eq!((&known["wanted"], &known["notes"][0]["key"]), (&json!(false), &json!("known")));
    let list = std::fs::read_to_string(data.path().join("cameras.json")).expect("a file");
    // This camera has its password in its address, too; the messages have it nowhere.
    assert!(list.contains("/main?pass=") && list.contains("/sub"), "{list}");
    assert!(!asking.log.contains(PASSWORD), "{}", asking.log);
    gateway.stop().await;
}

/// A name, the parameters that are changed, and words of the refusal.
type Lie<'a> = (&'a str, &'a [(&'a str, Value)], &'a str);

#[tokio::test]
async fn a_server_that_lies_about_a_file_gets_a_sentence_and_contacts_nobody() {
    let data = tempfile::tempdir().expect("a folder");
    let server = ScriptedServer::bind().await;
    let (gateway, id) = Running::start(&server, data.path(), Vec::new());
    let mut asking = server.accept().await;
    let camera = guarded(&[("MD5", "")]).start().await;
    let with_login = camera.url("").replace("rtsp://", &format!("rtsp://ada:{PASSWORD}@"));
    let file = format!("streams: {{yard: '{with_login}'}}");
    let heard = send_file(&mut asking, &id, &file, None).await;
    let (import, yard) = (heard.response["result"]["import"].clone(), heard.progress[0].clone());
    let lies: &[Lie<'_>] = &[
        ("another address", &[("address", json!("rtsp://127.0.0.1:9/"))], "not the one"),
        ("readable text", &[("allowsText", json!(true))], "type the password"),
        ("another file", &[("import", json!({ "import": "x", "entry": 0 }))], "too long ago"),
        ("no such camera", &[("import", json!({ "import": import, "entry": 9 }))], "too long ago"),
    ];
    for (name, changes, words) in lies {
        let probing = probe_entry(&mut asking, &import, &yard, changes).await;
        let heard = asking.wait(probing, |_| false).await;
        let (_, sentence) = heard.fault().unwrap_or_else(|| panic!("{name}: {heard:?}"));
        assert!(sentence.contains(words), "{name}: {sentence}");
    }
    // A password is no file, and what is no configuration is said to be none.
    for (file, info, words) in [
        (file.as_str(), Some(b"porthole-seal-v1\nx".as_slice()), "another gateway"),
        ("hello: world", None, "no configuration"),
        ("streams:\n\tx: 1", None, "line 2"),
    ] {
        let heard = send_file(&mut asking, &id, file, info).await;
        let (_, sentence) = heard.fault().unwrap_or_else(|| panic!("{heard:?}"));
        assert!(sentence.contains(words) && !sentence.contains(PASSWORD), "{sentence}");
    }
    assert_eq!(camera.requests().len(), 0, "nobody was contacted");
    gateway.stop().await;
}
