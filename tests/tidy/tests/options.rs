//! Every option does something, and a test shows it.

use porthole_tidy::{report, root};

const SETTINGS: &str = "tests/program/tests/operating/settings.rs";
const HOUSE: &str = "tests/program/tests/operating/house.rs";
const LOGS: &str = "tests/program/tests/operating/logs.rs";
const OURS: &str = "src/turn/settings.rs";
const SIGNALING: &str = "src/signaling.rs";
const LIMITS: &str = "turn-server/proto/src/server/tests/limits.rs";
const REFUSALS: &str = "turn-server/proto/src/server/tests/refusals.rs";

/// An option of docs/ref/config.md, and a test that fails when the option does nothing.
const EFFECTS: &[(&str, &str, &str)] = &[
    ("data", HOUSE, "a_house_is_as_its_file_says"),
    ("data", "src/config/tests.rs", "the_environment_overrides_the_file_and_a_flag_overrides_both"),
    ("public_address", "src/turn.rs", "clients_are_told_the_public_address"),
    ("public_address", SIGNALING, "people_are_told_the_public_url_else_the_public_address"),
    (
        "signaling.http",
        "tests/program/tests/bad_things/ports.rs",
        "a_port_in_use_is_named_and_whoever_has_it_keeps_it",
    ),
    ("signaling.public_url", SIGNALING, "people_are_told_the_public_url_else_the_public_address"),
    ("signaling.turn_urls", SIGNALING, "the_external_turn_server_is_configured_with_its_secret"),
    ("signaling.turn_urls", "src/turn.rs", "clients_are_told_what_the_settings_name_besides"),
    ("signaling.turn_secret", SIGNALING, "the_external_turn_server_is_configured_with_its_secret"),
    ("turn.listen", SETTINGS, "it_listens_where_it_is_told"),
    ("turn.listen_tls", SETTINGS, "tls_and_dtls_are_served_with_the_certificate_it_is_told"),
    ("turn.listen_dtls", SETTINGS, "tls_and_dtls_are_served_with_the_certificate_it_is_told"),
    ("turn.tls_certificate", SETTINGS, "tls_and_dtls_are_served_with_the_certificate_it_is_told"),
    ("turn.tls_key", SETTINGS, "tls_and_dtls_are_served_with_the_certificate_it_is_told"),
    (
        "turn.tls_certificate",
        "tests/program/tests/operating/certificate.rs",
        "a_new_certificate_is_used_by_itself_and_who_is_there_goes_on",
    ),
    ("turn.realm", SETTINGS, "the_realm_is_the_one_in_the_challenge"),
    ("turn.users", SETTINGS, "users_are_let_in_by_their_passwords"),
    ("turn.secret", SETTINGS, "a_secret_makes_credentials_and_an_old_one_still_does"),
    ("turn.old_secrets", SETTINGS, "a_secret_makes_credentials_and_an_old_one_still_does"),
    ("turn.oauth_keys", OURS, "oauth_keys_are_read_from_base64"),
    (
        "turn.oauth_keys",
        "turn-server/proto/src/server/tests/oauth.rs",
        "a_token_lets_in_whoever_knows_the_key_inside_of_it",
    ),
    (
        "turn.external_address",
        SETTINGS,
        "the_external_address_is_relayed_from_and_found_by_a_stun_server",
    ),
    ("turn.relay_address", SETTINGS, "it_relays_from_the_address_and_the_ports_it_is_told"),
    ("turn.relay_bind", SETTINGS, "relay_sockets_are_bound_where_they_are_told"),
    ("turn.relay_ports", SETTINGS, "it_relays_from_the_address_and_the_ports_it_is_told"),
    ("turn.allow_peers", SETTINGS, "peers_are_those_that_are_allowed_and_not_denied"),
    ("turn.deny_peers", SETTINGS, "peers_are_those_that_are_allowed_and_not_denied"),
    ("turn.lowest_peer_port", SETTINGS, "peers_are_those_that_are_allowed_and_not_denied"),
    ("turn.relayed_peers_only", OURS, "switches_and_limits_reach_the_server"),
    (
        "turn.relayed_peers_only",
        "turn-server/proto/src/server/tests/peers.rs",
        "r2_peers_may_be_bound_to_high_ports_and_to_relayed_addresses",
    ),
    ("turn.workers", SETTINGS, "there_are_as_many_workers_as_it_is_told"),
    (
        "turn.max_allocations_per_user",
        SETTINGS,
        "allocations_are_limited_by_user_by_source_and_in_all",
    ),
    (
        "turn.max_allocations_per_source",
        SETTINGS,
        "allocations_are_limited_by_user_by_source_and_in_all",
    ),
    ("turn.max_allocations", SETTINGS, "allocations_are_limited_by_user_by_source_and_in_all"),
    ("turn.max_bytes_per_s_per_allocation", OURS, "switches_and_limits_reach_the_server"),
    (
        "turn.max_bytes_per_s_per_allocation",
        LIMITS,
        "bandwidth_is_bounded_for_an_allocation_and_for_a_user",
    ),
    ("turn.max_bytes_per_s_per_user", OURS, "switches_and_limits_reach_the_server"),
    (
        "turn.max_bytes_per_s_per_user",
        LIMITS,
        "bandwidth_is_bounded_for_an_allocation_and_for_a_user",
    ),
    ("turn.discovery_address", OURS, "switches_and_limits_reach_the_server"),
    (
        "turn.discovery_address",
        "turn-server/proto/src/server/tests/discovery.rs",
        "the_answer_comes_from_the_address_and_port_that_were_asked_for",
    ),
    ("turn.alternate_servers", OURS, "switches_and_limits_reach_the_server"),
    (
        "turn.alternate_servers",
        "turn-server/proto/src/server/tests/discovery.rs",
        "who_comes_when_there_is_no_room_is_sent_elsewhere",
    ),
    ("turn.tcp_relaying", OURS, "switches_and_limits_reach_the_server"),
    (
        "turn.tcp_relaying",
        "turn-server/tests/tcp_relay.rs",
        "what_cannot_be_had_is_refused_and_all_ends_with_the_allocation",
    ),
    ("turn.mobility", OURS, "switches_and_limits_reach_the_server"),
    (
        "turn.mobility",
        "turn-server/proto/src/server/tests/mobility.rs",
        "tickets_are_given_where_they_are_asked_for_and_allowed",
    ),
    ("turn.strict_expiry", OURS, "switches_and_limits_reach_the_server"),
    (
        "turn.strict_expiry",
        "turn-server/proto/src/server/tests/credentials.rs",
        "with_strict_expiry_expired_credentials_prolong_nothing",
    ),
    ("turn.rfc5766_channels", OURS, "switches_and_limits_reach_the_server"),
    ("turn.rfc5766_channels", REFUSALS, "channels_of_rfc_5766_are_taken_where_they_are_configured"),
    ("turn.segmentation", OURS, "switches_and_limits_reach_the_server"),
    (
        "turn.segmentation",
        "turn-server/tests/bursts.rs",
        "a_burst_leaves_in_one_call_with_segmentation_and_one_by_one_without",
    ),
    ("turn.fast_path", OURS, "switches_and_limits_reach_the_server"),
    (
        "turn.fast_path",
        "turn-server/tests/fast_path.rs",
        "a_channel_is_relayed_by_the_kernel_as_long_as_it_lives",
    ),
    ("turn.drain_s", SETTINGS, "a_stop_waits_for_living_allocations_as_long_as_it_is_told"),
    ("turn.admin", SETTINGS, "the_admin_api_is_where_it_is_told_and_asks_for_its_token"),
    ("turn.admin_token", SETTINGS, "the_admin_api_is_where_it_is_told_and_asks_for_its_token"),
    (
        "gateway.server",
        "tests/program/tests/bad_things/credentials.rs",
        "a_claim_code_that_is_worth_nothing_says_where_a_new_one_comes_from",
    ),
    (
        "gateway.claim",
        "tests/program/tests/bad_things/credentials.rs",
        "a_claim_code_that_is_worth_nothing_says_where_a_new_one_comes_from",
    ),
    ("gateway.name", HOUSE, "a_house_is_as_its_file_says"),
    ("gateway.udp_port", HOUSE, "a_house_is_as_its_file_says"),
    ("gateway.turn_only", HOUSE, "a_gateway_that_is_told_to_goes_through_turn_only"),
    ("camera.ID.name", HOUSE, "a_house_is_as_its_file_says"),
    ("camera.ID.source", HOUSE, "a_house_is_as_its_file_says"),
    ("camera.ID.sub_source", HOUSE, "a_house_is_as_its_file_says"),
    ("camera.ID.on_demand", HOUSE, "a_house_is_as_its_file_says"),
    (
        "camera.ID.on_demand",
        "gateway/core/src/camera/tests.rs",
        "a_camera_on_demand_is_reached_while_somebody_watches_and_a_little_longer",
    ),
    ("PORTHOLE_LOG", LOGS, "what_is_logged_is_what_the_environment_says"),
    ("NO_COLOR", LOGS, "there_are_colours_on_a_terminal_unless_they_are_not_wanted"),
];

fn documented() -> Vec<String> {
    let reference = std::fs::read_to_string(root().join("docs/ref/config.md"));
    let reference = reference.expect("the reference");
    let key = |line: &str| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned());
    reference.lines().filter_map(key).collect()
}

/// Returns true if a file has a function of this name that the test harness runs.
fn has_test(file: &str, name: &str) -> bool {
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.windows(2).any(|pair| {
        let is_test = pair[0] == "#[test]" || pair[0].starts_with("#[tokio::test");
        let function = pair[1].strip_prefix("async ").unwrap_or(pair[1]);
        is_test && function.starts_with(&format!("fn {name}("))
    })
}

#[test]
fn every_option_has_a_test_that_shows_its_effect() {
    let documented = documented();
    assert!(documented.len() > 30, "{documented:?}");
    let without = documented.iter().filter(|key| !EFFECTS.iter().any(|(known, ..)| known == key));
    let complaints: Vec<_> = without.map(|key| format!("`{key}` has no row here")).collect();
    report(
        "An option of docs/ref/config.md has a test that fails when it does nothing.",
        &complaints,
    );
}

#[test]
fn every_row_names_an_option_and_a_test_that_exist() {
    let documented = documented();
    let mut complaints = Vec::new();
    for (key, file, test) in EFFECTS {
        if !documented.iter().any(|known| known == key) {
            complaints.push(format!("docs/ref/config.md has no `{key}`"));
        }
        if !has_test(file, test) {
            complaints.push(format!("`{key}`: {file} has no test {test}"));
        }
    }
    report("The table of options names what there is.", &complaints);
}
