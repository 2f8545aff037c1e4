//! Ports, quota units and sockets are conserved, whatever happens in whatever order.

use proptest::prelude::*;

use super::world::World;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Connect { user: bool, port: u16, tcp: bool },
    Close(usize),
    Gone(usize),
    Bind(usize, u8),
    Wait(u16),
    FailOpens(usize),
    Garbage(u16, Vec<u8>),
    Silence(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 1_u16..5, any::<bool>())
            .prop_map(|(user, port, tcp)| Step::Connect { user, port, tcp }),
        2 => (0_usize..12).prop_map(Step::Close),
        1 => (0_usize..12).prop_map(Step::Gone),
        2 => (0_usize..12, any::<u8>()).prop_map(|(client, peer)| Step::Bind(client, peer)),
        2 => (1_u16..700).prop_map(Step::Wait),
        1 => (0_usize..10).prop_map(Step::FailOpens),
        1 => (1_u16..5, proptest::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(port, bytes)| Step::Garbage(port, bytes)),
        1 => (0_usize..12).prop_map(Step::Silence),
    ]
}

fn apply(world: &mut World, step: &Step) {
    let count = world.clients.len();
    let existing = |index: &usize| (count > 0).then(|| index % count);
    match step {
        Step::Connect { user, port, tcp } if count < 200 => {
            let user = if *user { "anna" } else { "bert" };
            let transport = if *tcp { Transport::Tcp } else { Transport::Udp };
            world.connect_as(user, transport, &format!("198.51.100.7:{port}"));
        }
        Step::Connect { .. } => {}
        Step::Close(index) => {
            let now = world.now.instant;
            existing(index).into_iter().for_each(|i| world.clients[i].client.close(now));
        }
        Step::Gone(index) => {
            if let Some(i) = existing(index) {
                let tuple = world.clients[i].tuple;
                world.server.handle_client_disconnected(world.now, &tuple);
            }
        }
        Step::Bind(index, peer) => {
            let peer = addr(&format!("192.0.2.{peer}:9"));
            let now = world.now.instant;
            existing(index)
                .into_iter()
                .for_each(|i| world.clients[i].client.bind_channel(now, peer));
        }
        Step::Wait(seconds) => world.advance(Duration::from_secs(u64::from(*seconds))),
        Step::FailOpens(count) => world.failing_opens = *count,
        Step::Garbage(port, bytes) => {
            let client = addr(&format!("198.51.100.7:{port}"));
            let server = addr(world::SERVER);
            world.send_to_server(&FiveTuple { transport: Transport::Udp, client, server }, bytes);
        }
        Step::Silence(index) => {
            existing(index).into_iter().for_each(|i| world.clients[i].silent = true);
        }
    }
    world.run();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn ports_quota_and_sockets_are_conserved(
        steps in proptest::collection::vec(any_step(), 0..60),
    ) {
        let mut world = World::new();
        for step in &steps {
            apply(&mut world, step);
            let living = world.server.allocations();
            prop_assert_eq!(world.ports_taken(), living);
            prop_assert_eq!(world.quota_in_use(), living);
            prop_assert_eq!(world.open_count(), living);
            prop_assert!(living <= 5);
            prop_assert_eq!(world.server.poll_timeout().is_some(), living > 0);
        }
        for client in &mut world.clients {
            client.silent = true;
        }
        world.advance(MAX_LIFETIME);
        prop_assert_eq!((world.server.allocations(), world.open_count()), (0, 0));
        prop_assert_eq!((world.ports_taken(), world.quota_in_use()), (0, 0));
    }
}
