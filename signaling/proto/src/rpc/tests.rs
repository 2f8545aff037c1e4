use super::*;
use crate::method::{Close, Connect, ConnectParams, SessionParams};

#[test]
fn messages_are_read_as_json_rpc_defines() {
    let id = || RequestId::Number(1);
    for (text, expected) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"register"}"#,
            Message::Request { id: id(), method: "register".into(), params: Value::Null },
        ),
        (
            r#"{"jsonrpc":"2.0","id":"a","method":"unregister","params":{}}"#,
            Message::Request {
                id: RequestId::Text("a".into()),
                method: "unregister".into(),
                params: serde_json::json!({}),
            },
        ),
        (
            r#"{"jsonrpc":"2.0","method":"trickle","params":{"session":"s"}}"#,
            Message::Notification {
                method: "trickle".into(),
                params: serde_json::json!({"session":"s"}),
            },
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{"id":"x"}}"#,
            Message::Response { id: Some(id()), outcome: Ok(serde_json::json!({"id":"x"})) },
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":480,"message":"away"}}"#,
            Message::Response { id: Some(id()), outcome: Err(Fault::new(480, "away")) },
        ),
        (
            r#"{"jsonrpc":"2.0","error":{"code":1002,"message":"gone","session":"s1"}}"#,
            Message::Error(Fault {
                code: 1002,
                message: "gone".into(),
                session: Some("s1".parse().unwrap()),
            }),
        ),
    ] {
        let read = Message::from_json(text).unwrap();
        assert_eq!(read, expected, "{text}");
        assert_eq!(Message::from_json(&read.to_json()).unwrap(), read, "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_message_is_named() {
    for (text, code) in [
        ("", code::PARSE_ERROR),
        ("nonsense", code::PARSE_ERROR),
        ("[]", code::INVALID_REQUEST),
        ("{}", code::INVALID_REQUEST),
        (r#"{"id":1,"method":"a","result":1}"#, code::INVALID_REQUEST),
    ] {
        assert_eq!(Message::from_json(text).unwrap_err().code, code, "{text}");
    }
}

#[test]
fn parameters_that_do_not_fit_name_the_field() {
    let fault = read::<ConnectParams>(serde_json::json!({"profile": "demo"})).unwrap_err();
    assert_eq!(fault.code, code::INVALID_PARAMS);
    assert!(fault.message.contains("peer"), "{}", fault.message);
}

#[test]
fn a_method_carries_its_name() {
    let params = ConnectParams {
        peer: "gw".parse().unwrap(),
        profile: Some("demo".parse().unwrap()),
        authorization: None,
        audio: None,
    };
    let json = Message::request::<Connect>(7, &params).to_json();
    assert_eq!(
        json,
        r#"{"jsonrpc":"2.0","id":7,"method":"connect","params":{"peer":"gw","profile":"demo"}}"#
    );
    let close = SessionParams { session: "s1".parse().unwrap() };
    let json = Message::notification::<Close>(&close).to_json();
    assert_eq!(json, r#"{"jsonrpc":"2.0","method":"portholeClose","params":{"session":"s1"}}"#);
}
