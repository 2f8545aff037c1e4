//! Tests of the audit log and its bounds.

use porthole_signaling_core::{Action, Identity, Objects};
use porthole_signaling_proto::rest::Role;

use super::*;
use crate::admin::by_operator;

async fn store() -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path()).await.unwrap();
    (data, store)
}

/// Returns the whole log, read page by page.
async fn whole_log(store: &Store) -> Vec<AuditEvent> {
    let granted = by_operator(Action::ReadAudit).unwrap();
    let (mut events, mut before) = (Vec::new(), None);
    for _ in 0..100 {
        let page = store.audit(&granted, before).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        events.extend(page);
    }
    assert!(events.is_sorted_by(|a, b| a.id > b.id), "the newest first");
    events
}

fn failure(source: &str, address: IpAddr, object: Option<String>) -> Event<'static> {
    let (kind, source) = (AuditKind::SignInFailed, source.to_owned());
    let (subject, actor, address) = (None, None, Some(address));
    Event { kind, source, subject, actor, object, address, times: 1 }
}

#[tokio::test]
async fn s10_ten_thousand_failures_push_out_neither_other_kinds_nor_failures_of_others() {
    let (_data, store) = store().await;
    let granted = by_operator(Action::ReadAudit).unwrap();
    let mut write = store.begin().await.unwrap();
    let removed = Event::by(granted.principal(), AuditKind::UserRemoved, "bob");
    write.audit(&removed).await.unwrap();
    let other = IpAddr::from([198, 51, 100, 7]);
    write.audit(&failure("198.51.100.7", other, None)).await.unwrap();
    // Each about something else, so that they are not counted in one row; in one transaction
    // because that is faster.
    let attacker = IpAddr::from([192, 0, 2, 1]);
    for number in 0..10_000 {
        let object = Some(format!("user {number}"));
        write.audit(&failure("192.0.2.1", attacker, object)).await.unwrap();
    }
    write.commit().await.unwrap();

    let kept = whole_log(&store).await;
    let failures = kept.iter().filter(|event| event.kind == AuditKind::SignInFailed).count();
    assert_eq!(failures, usize::try_from(MAX_OF_KIND).unwrap());
    assert_eq!(kept[0].object.as_deref(), Some("user 9999"));
    let [.., second, first, of_other, oldest] = kept.as_slice() else { panic!("{kept:?}") };
    let of_attacker = [first, second].map(|event| event.object.as_deref());
    assert_eq!(of_attacker, [Some("user 0"), Some("user 9002")], "how it began is there");
    assert_eq!(of_other.address.as_deref(), Some("198.51.100.7"));
    assert_eq!((oldest.kind, oldest.object.as_deref()), (AuditKind::UserRemoved, Some("bob")));
    assert_eq!(oldest.actor.as_deref(), Some("operator"));
    store.close().await;
}

#[tokio::test]
async fn failures_from_one_network_are_counted_in_one_row_with_the_last_address() {
    let (_data, store) = store().await;
    for (user, address) in [
        (Some("ann"), "192.0.2.1"),
        (Some("ann"), "::ffff:192.0.2.1"),
        (None, "192.0.2.1"),
        (Some("ann"), "192.0.2.2"),
        (Some("ann"), "192.0.2.1"),
        (None, "2001:db8:1:2::3"),
        (None, "2001:db8:1:4::5"),
        (None, "2001:db8:2:4::5"),
    ] {
        store.note_failed_sign_in(user, address.parse().unwrap()).await;
    }
    let events = whole_log(&store).await;
    let found: Vec<_> = events
        .iter()
        .map(|event| (event.object.as_deref(), event.address.as_deref().unwrap(), event.count))
        .collect();
    let expected = [
        (None, "2001:db8:2:4::5", 1),
        (None, "2001:db8:1:4::5", 2),
        (Some("ann"), "192.0.2.1", 3),
        (Some("ann"), "192.0.2.2", 1),
        (None, "192.0.2.1", 1),
    ];
    assert_eq!(found, expected);
    store.close().await;
}

#[tokio::test]
async fn s10_a_code_that_comes_takes_back_one_missing_code_and_no_other() {
    let (_data, store) = store().await;
    let [here, near, far] = ["2001:db8:1:2::3", "2001:db8:1:4::5", "198.51.100.7"]
        .map(|address| address.parse::<IpAddr>().unwrap());
    // Whether a code was missing or came, of whom and from where; then the number of those missing
    // of `ann` from the first network, of `ann` from the other, and of `bob`.
    for (is_missing, user, from, expected) in [
        (true, "ann", here, [1, 0, 0]),
        (true, "ann", near, [2, 0, 0]),
        (true, "ann", here, [3, 0, 0]),
        (true, "ann", far, [3, 1, 0]),
        (true, "bob", here, [3, 1, 1]),
        (true, "ann", here, [4, 1, 1]),
        (false, "ann", near, [3, 1, 1]),
        (false, "ann", far, [3, 0, 1]),
        (false, "ann", far, [3, 0, 1]),
        (false, "bob", here, [3, 0, 0]),
        (false, "ann", here, [2, 0, 0]),
        (false, "ann", here, [1, 0, 0]),
        (false, "ann", here, [0, 0, 0]),
    ] {
        match is_missing {
            true => store.note_missing_code(user, from).await,
            false => store.forget_missing_code(user, from).await,
        }
        let mut found = [0; 3];
        for event in whole_log(&store).await {
            let place = match (event.object.as_deref(), event.address.as_deref()) {
                (Some("bob"), _) => 2,
                (_, Some("198.51.100.7")) => 1,
                _ => 0,
            };
            found[place] += event.count;
        }
        assert_eq!(found, expected, "{is_missing} {user} {from}");
    }
    store.close().await;
}

#[tokio::test]
async fn refused_enrolments_are_counted_and_written_down_once_a_minute() {
    let (_data, store) = store().await;
    for _ in 0..5 {
        store.count_refused_enrolment();
        store.write_refusals().await;
    }
    let events = whole_log(&store).await;
    let found: Vec<_> = events.iter().map(|event| (event.kind, event.count)).collect();
    assert_eq!(found, [(AuditKind::EnrolmentRefused, 1)]);
    assert_eq!(store.refusals.0.load(Ordering::Relaxed), 4, "for the next time");
    store.close().await;
}

#[tokio::test]
async fn s10_tokens_that_give_each_other_push_out_nothing_of_others_and_have_their_own_names() {
    let (_data, store) = store().await;
    let mut write = store.begin().await.unwrap();
    let granted = by_operator(Action::ReadAudit).unwrap();
    fn created<'a>(by: &'a Principal, what: &str) -> Event<'a> {
        Event::by(by, AuditKind::TokenCreated, what)
    }
    write.audit(&created(granted.principal(), "of the operator")).await.unwrap();
    write.audit(&created(granted.principal(), "of the operator, too")).await.unwrap();
    for number in 0..1100 {
        let [subject, credential] = [(); 2].map(|()| format!("token:{number}"));
        let identity = Identity { subject, credential, name: "ann".to_owned() };
        let token = Principal::new(identity, Role::Admin, Objects::All, None);
        let token = token.in_chain_of("token:0".to_owned());
        write.audit(&created(&token, &format!("{number}"))).await.unwrap();
    }
    write.commit().await.unwrap();
    let kept = whole_log(&store).await;
    let [.., first, too, operator] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!(kept.len(), usize::try_from(MAX_OF_KIND).unwrap());
    assert_eq!(operator.object.as_deref(), Some("of the operator"));
    assert_eq!(too.object.as_deref(), Some("of the operator, too"));
    assert_eq!(first.object.as_deref(), Some("0"), "how it began is there");
    assert_eq!(first.actor.as_deref(), Some("ann"), "as the token calls itself");
    assert_eq!(first.actor_subject.as_deref(), Some("token:0"));
    assert_eq!(kept[0].actor_subject.as_deref(), Some("token:1099"));
    store.close().await;
}
