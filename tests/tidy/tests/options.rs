//! Every option does something, and a test shows it.

use porthole_tidy::{report, root};

const TURN: &str = "tests/program/tests/operating/turn_settings.rs";
const ADMIN: &str = "tests/program/tests/operating/admin_api.rs";
const GENERAL: &str = "tests/program/tests/operating/general_settings.rs";
const PUBLIC: &str = "tests/program/tests/operating/public_port.rs";
const ACME: &str = "tests/program/tests/operating/public_port/acme.rs";
const PUBLIC_SETTINGS: &str = "src/public/settings.rs";
const LOGS: &str = "tests/program/tests/operating/logs.rs";
const TURN_CONFIG: &str = "src/turn/settings.rs";
const SIGNALING: &str = "src/signaling.rs";
const TURN_SERVERS: &str = "src/turn_servers/tests.rs";
const OFFERED: &str = "signaling/core/src/ice/tests.rs";
/// The keys of this table reach the signaling server; what it does with them is in another row.
const OPENID: &str = "the_provider_of_openid_connect_is_configured_with_every_key";
const OPENID_FLOW: &str = "signaling/tests/openid.rs";
const OPENID_RULES: &str = "signaling/src/openid/tests.rs";
const LIMITS: &str = "turn-server/proto/src/server/tests/limits.rs";
const REFUSALS: &str = "turn-server/proto/src/server/tests/refusals.rs";

/// An option of docs/ref/config.md, and a test that fails when the option does nothing.
const EFFECTS: &[(&str, &str, &str)] = &[
    ("data", GENERAL, "every_general_gateway_and_camera_setting_takes_effect"),
    ("data", "src/config/tests.rs", "the_environment_overrides_the_file_and_a_flag_overrides_both"),
    ("log_format", LOGS, "a_log_in_json_has_one_object_a_line"),
    ("admin.listen", ADMIN, "one_admin_api_has_the_numbers_of_all_roles_of_up"),
    ("admin.token", ADMIN, "one_admin_api_has_the_numbers_of_all_roles_of_up"),
    ("public_address", "src/turn.rs", "ice_server_urls_have_the_public_address"),
    ("public_address", SIGNALING, "the_dashboard_url_is_the_public_url_else_the_public_address"),
    ("public.listen", PUBLIC, "one_port_serves_the_dashboard_websockets_players_and_turn"),
    ("public.names", PUBLIC, "one_port_serves_the_dashboard_websockets_players_and_turn"),
    (
        "public.names",
        PUBLIC_SETTINGS,
        "urls_have_the_first_name_or_the_public_address_and_the_first_port",
    ),
    (
        "public.proxy_protocol",
        "tests/program/tests/operating/public_port/balancer.rs",
        "a_load_balancer_tells_whose_connection_it_is_and_nobody_else_may",
    ),
    ("public.certificate", PUBLIC, "a_new_certificate_at_the_public_port_ends_no_connection"),
    ("public.key", PUBLIC, "a_new_certificate_at_the_public_port_ends_no_connection"),
    (
        "public.own_ca",
        "tests/program/tests/operating/public_port/own_ca.rs",
        "who_trusts_the_own_authority_of_a_server_reaches_it_over_tls",
    ),
    ("public.acme_directory", ACME, "where_the_public_port_cannot_be_reached_port_80_serves"),
    ("public.acme_ca", ACME, "where_the_public_port_cannot_be_reached_port_80_serves"),
    ("public.acme_http", ACME, "where_the_public_port_cannot_be_reached_port_80_serves"),
    (
        "public.acme_contact",
        PUBLIC_SETTINGS,
        "an_authority_is_asked_for_all_names_or_the_public_addresses",
    ),
    (
        "signaling.http",
        "tests/program/tests/failures/ports.rs",
        "a_port_in_use_is_named_and_its_owner_keeps_it",
    ),
    (
        "signaling.public_url",
        SIGNALING,
        "the_dashboard_url_is_the_public_url_else_the_public_address",
    ),
    (
        "signaling.trusted_proxies",
        SIGNALING,
        "the_configured_proxies_are_trusted_and_by_default_those_of_this_machine",
    ),
    (
        "signaling.trusted_proxies",
        "signaling/src/proxies.rs",
        "s3_only_a_trusted_proxy_may_say_who_its_client_is",
    ),
    (
        "signaling.gateway_urls",
        "signaling/tests/websocket.rs",
        "s11_a_signature_that_a_foreign_server_passes_on_is_refused",
    ),
    ("signaling.turn_urls", TURN_SERVERS, "the_external_turn_server_is_configured_with_its_secret"),
    ("signaling.turn_urls", "src/turn.rs", "ice_server_urls_include_the_configured_ones"),
    (
        "signaling.turn_secret",
        TURN_SERVERS,
        "the_external_turn_server_is_configured_with_its_secret",
    ),
    (
        "signaling.turn_server.NAME.urls",
        "tests/program/tests/operating/turn_servers.rs",
        "new_sessions_are_offered_the_turn_servers_that_take_clients",
    ),
    (
        "signaling.turn_server.NAME.secret",
        "tests/program/tests/operating/turn_servers.rs",
        "new_sessions_are_offered_the_turn_servers_that_take_clients",
    ),
    (
        "signaling.turn_server.NAME.weight",
        TURN_SERVERS,
        "further_turn_servers_have_their_own_secret_or_the_common_one",
    ),
    (
        "signaling.turn_server.NAME.weight",
        OFFERED,
        "both_peers_of_a_session_get_the_same_servers_and_other_sessions_follow_the_weights",
    ),
    (
        "signaling.turn_server.NAME.region",
        TURN_SERVERS,
        "further_turn_servers_have_their_own_secret_or_the_common_one",
    ),
    (
        "signaling.turn_server.NAME.region",
        OFFERED,
        "the_second_server_is_of_another_region_if_there_is_one",
    ),
    ("signaling.openid_connect.issuer", SIGNALING, OPENID),
    (
        "signaling.openid_connect.issuer",
        OPENID_FLOW,
        "an_answer_that_is_not_from_the_provider_signs_nobody_in",
    ),
    ("signaling.openid_connect.client_id", SIGNALING, OPENID),
    (
        "signaling.openid_connect.client_id",
        OPENID_FLOW,
        "an_account_that_is_linked_signs_in_until_it_is_unlinked",
    ),
    ("signaling.openid_connect.client_secret", SIGNALING, OPENID),
    (
        "signaling.openid_connect.client_secret",
        OPENID_FLOW,
        "an_account_that_is_linked_signs_in_until_it_is_unlinked",
    ),
    ("signaling.openid_connect.name", SIGNALING, OPENID),
    (
        "signaling.openid_connect.name",
        OPENID_FLOW,
        "an_account_that_is_linked_signs_in_until_it_is_unlinked",
    ),
    ("signaling.openid_connect.scopes", SIGNALING, OPENID),
    (
        "signaling.openid_connect.scopes",
        OPENID_FLOW,
        "an_account_that_is_linked_signs_in_until_it_is_unlinked",
    ),
    ("signaling.openid_connect.name_claim", SIGNALING, OPENID),
    (
        "signaling.openid_connect.name_claim",
        OPENID_RULES,
        "a_name_is_that_of_the_configured_claim_as_far_as_it_can_be_shown",
    ),
    ("signaling.openid_connect.join", SIGNALING, OPENID),
    (
        "signaling.openid_connect.join",
        OPENID_FLOW,
        "somebody_who_is_not_known_joins_as_configured_and_never_as_more_than_a_viewer",
    ),
    ("signaling.openid_connect.email_domains", SIGNALING, OPENID),
    (
        "signaling.openid_connect.email_domains",
        OPENID_RULES,
        "an_account_signs_in_with_a_verified_address_of_a_domain_or_in_a_group",
    ),
    ("signaling.openid_connect.groups", SIGNALING, OPENID),
    (
        "signaling.openid_connect.groups",
        OPENID_RULES,
        "an_account_signs_in_with_a_verified_address_of_a_domain_or_in_a_group",
    ),
    ("signaling.openid_connect.groups_claim", SIGNALING, OPENID),
    (
        "signaling.openid_connect.groups_claim",
        OPENID_FLOW,
        "somebody_who_is_not_known_joins_as_configured_and_never_as_more_than_a_viewer",
    ),
    ("signaling.openid_connect.ca_certificates", SIGNALING, OPENID),
    (
        "signaling.openid_connect.ca_certificates",
        OPENID_FLOW,
        "a_provider_is_known_by_its_certificate",
    ),
    ("turn.listen", TURN, "it_listens_on_the_configured_addresses"),
    ("turn.listen_tls", TURN, "tls_and_dtls_use_the_configured_certificate"),
    ("turn.listen_dtls", TURN, "tls_and_dtls_use_the_configured_certificate"),
    ("turn.tls_certificate", TURN, "tls_and_dtls_use_the_configured_certificate"),
    ("turn.tls_key", TURN, "tls_and_dtls_use_the_configured_certificate"),
    (
        "turn.tls_certificate",
        "tests/program/tests/operating/certificate.rs",
        "a_new_certificate_is_loaded_automatically_and_open_connections_continue",
    ),
    ("turn.realm", TURN, "the_configured_realm_is_in_the_challenge"),
    ("turn.users", TURN, "users_authenticate_with_their_passwords"),
    ("turn.secret", TURN, "credentials_of_the_secret_and_of_old_secrets_are_accepted"),
    ("turn.old_secrets", TURN, "credentials_of_the_secret_and_of_old_secrets_are_accepted"),
    ("turn.oauth_keys", TURN_CONFIG, "oauth_keys_are_read_from_base64"),
    (
        "turn.oauth_keys",
        "turn-server/proto/src/server/tests/oauth.rs",
        "a_token_authenticates_a_client_that_knows_the_key_in_it",
    ),
    (
        "turn.external_address",
        TURN,
        "the_external_address_is_relayed_from_and_can_be_found_with_stun",
    ),
    ("turn.relay_address", TURN, "it_relays_from_the_configured_address_and_ports"),
    ("turn.relay_bind", TURN, "relay_sockets_are_bound_to_the_configured_address"),
    ("turn.relay_ports", TURN, "it_relays_from_the_configured_address_and_ports"),
    ("turn.allow_peers", TURN, "peers_must_be_allowed_and_not_denied"),
    ("turn.deny_peers", TURN, "peers_must_be_allowed_and_not_denied"),
    ("turn.lowest_peer_port", TURN, "peers_must_be_allowed_and_not_denied"),
    ("turn.relayed_peers_only", TURN_CONFIG, "switches_and_limits_reach_the_server"),
    (
        "turn.relayed_peers_only",
        "turn-server/proto/src/server/tests/peers.rs",
        "r2_peers_may_be_bound_to_high_ports_and_to_relayed_addresses",
    ),
    ("turn.workers", TURN, "the_configured_number_of_workers_is_started"),
    (
        "turn.max_allocations_per_user",
        TURN,
        "allocations_are_limited_per_user_per_source_and_in_total",
    ),
    (
        "turn.max_allocations_per_source",
        TURN,
        "allocations_are_limited_per_user_per_source_and_in_total",
    ),
    ("turn.max_allocations", TURN, "allocations_are_limited_per_user_per_source_and_in_total"),
    ("turn.max_bytes_per_s_per_allocation", TURN_CONFIG, "switches_and_limits_reach_the_server"),
    (
        "turn.max_bytes_per_s_per_allocation",
        LIMITS,
        "bandwidth_is_bounded_for_an_allocation_and_for_a_user",
    ),
    ("turn.max_bytes_per_s_per_user", TURN_CONFIG, "switches_and_limits_reach_the_server"),
    (
        "turn.max_bytes_per_s_per_user",
        LIMITS,
        "bandwidth_is_bounded_for_an_allocation_and_for_a_user",
    ),
    ("turn.discovery_address", TURN_CONFIG, "switches_and_limits_reach_the_server"),
    (
        "turn.discovery_address",
        "turn-server/proto/src/server/tests/discovery.rs",
        "the_response_comes_from_the_requested_address_and_port",
    ),
    ("turn.alternate_servers", TURN_CONFIG, "switches_and_limits_reach_the_server"),
    (
        "turn.alternate_servers",
        "turn-server/proto/src/server/tests/discovery.rs",
        "a_client_that_cannot_be_served_is_sent_to_an_alternate_server",
    ),
    ("turn.tcp_relaying", TURN_CONFIG, "switches_and_limits_reach_the_server"),
    (
        "turn.tcp_relaying",
        TURN_CONFIG,
        "a_session_of_up_has_no_tcp_small_quotas_and_a_rate_unless_the_owner_says_otherwise",
    ),
    (
        "turn.tcp_relaying",
        "turn-server/tests/tcp_relay.rs",
        "impossible_connections_are_refused_and_all_end_with_the_allocation",
    ),
    ("turn.mobility", TURN_CONFIG, "switches_and_limits_reach_the_server"),
    (
        "turn.mobility",
        "turn-server/proto/src/server/tests/mobility.rs",
        "tickets_are_issued_if_requested_and_allowed",
    ),
    ("turn.strict_expiry", TURN_CONFIG, "switches_and_limits_reach_the_server"),
    (
        "turn.strict_expiry",
        "turn-server/proto/src/server/tests/credentials.rs",
        "with_strict_expiry_expired_credentials_prolong_nothing",
    ),
    ("turn.rfc5766_channels", TURN_CONFIG, "switches_and_limits_reach_the_server"),
    ("turn.rfc5766_channels", REFUSALS, "channels_of_rfc_5766_are_accepted_if_configured"),
    ("turn.segmentation", TURN_CONFIG, "switches_and_limits_reach_the_server"),
    (
        "turn.segmentation",
        "turn-server/tests/bursts.rs",
        "a_burst_is_sent_in_one_call_with_segmentation_and_one_by_one_without",
    ),
    ("turn.fast_path", TURN_CONFIG, "switches_and_limits_reach_the_server"),
    (
        "turn.fast_path",
        "turn-server/tests/fast_path.rs",
        "a_channel_is_relayed_by_the_kernel_as_long_as_it_exists",
    ),
    ("turn.drain_s", TURN, "a_stop_waits_for_allocations_for_the_configured_time"),
    ("turn.admin", TURN, "the_admin_api_listens_where_configured_and_requires_its_token"),
    ("turn.admin_token", TURN, "the_admin_api_listens_where_configured_and_requires_its_token"),
    (
        "gateway.server",
        "tests/program/tests/failures/credentials.rs",
        "an_invalid_claim_code_is_refused_and_the_error_says_how_to_get_a_new_one",
    ),
    (
        "gateway.claim",
        "tests/program/tests/failures/credentials.rs",
        "an_invalid_claim_code_is_refused_and_the_error_says_how_to_get_a_new_one",
    ),
    ("gateway.name", GENERAL, "every_general_gateway_and_camera_setting_takes_effect"),
    ("gateway.udp_port", GENERAL, "every_general_gateway_and_camera_setting_takes_effect"),
    ("gateway.turn_only", GENERAL, "a_turn_only_gateway_sends_video_only_through_turn"),
    ("gateway.port_mapping", "src/gateway.rs", "the_protocols_of_port_mappings_reach_the_gateway"),
    (
        "gateway.port_mapping",
        "tests/net/tests/port_mapping.rs",
        "two_symmetric_nats_connect_directly_through_a_mapped_port_that_is_given_back",
    ),
    (
        "gateway.max_uplink_kbit_per_s",
        "src/gateway.rs",
        "the_cap_of_the_uplink_reaches_the_gateway",
    ),
    (
        "gateway.max_uplink_kbit_per_s",
        "tests/viewer/tests/line/uplink.rs",
        "a_cap_of_the_uplink_holds_whatever_the_line_carries",
    ),
    ("gateway.networks", "src/gateway.rs", "the_networks_for_cameras_reach_the_gateway"),
    (
        "gateway.ca_certificates",
        "tests/program/tests/operating/turn_over_tls.rs",
        "a_gateway_relays_over_tls_where_it_trusts_the_certificate",
    ),
    (
        "gateway.ca_fingerprint",
        "src/server_authority.rs",
        "the_authority_with_the_given_fingerprint_is_trusted_and_no_other",
    ),
    (
        "gateway.allow_plain_http",
        "gateway/src/link.rs",
        "s11_plain_http_is_refused_to_the_internet_and_fine_in_a_private_network",
    ),
    ("gateway.allow_ice_servers", "src/gateway.rs", "the_allowed_ice_servers_reach_the_gateway"),
    (
        "gateway.allow_ice_servers",
        "gateway/src/ice_servers.rs",
        "names_and_addresses_of_this_machine_are_refused_unless_the_server_is_here",
    ),
    (
        "gateway.camera_connect_timeout",
        "src/gateway.rs",
        "the_timeouts_of_cameras_reach_the_gateway",
    ),
    (
        "gateway.camera_connect_timeout",
        "gateway/tests/ingest.rs",
        "a_camera_that_accepts_connections_and_never_answers_is_given_up",
    ),
    (
        "gateway.camera_silence_timeout",
        "src/gateway.rs",
        "the_timeouts_of_cameras_reach_the_gateway",
    ),
    (
        "gateway.camera_silence_timeout",
        "gateway/tests/ingest.rs",
        "a_camera_that_ends_or_falls_silent_is_detected_in_time",
    ),
    ("camera.ID.name", GENERAL, "every_general_gateway_and_camera_setting_takes_effect"),
    ("camera.ID.source", GENERAL, "every_general_gateway_and_camera_setting_takes_effect"),
    ("camera.ID.sub_source", GENERAL, "every_general_gateway_and_camera_setting_takes_effect"),
    ("camera.ID.on_demand", GENERAL, "every_general_gateway_and_camera_setting_takes_effect"),
    (
        "camera.ID.on_demand",
        "gateway/core/src/camera/stream/tests.rs",
        "a_camera_on_demand_is_connected_while_somebody_watches_and_a_little_longer",
    ),
    ("camera.ID.rotation", GENERAL, "every_general_gateway_and_camera_setting_takes_effect"),
    ("camera.ID.mirrored", GENERAL, "every_general_gateway_and_camera_setting_takes_effect"),
    ("camera.ID.onvif", "src/gateway.rs", "the_onvif_service_of_a_camera_reaches_the_gateway"),
    (
        "camera.ID.onvif_channel",
        "src/gateway.rs",
        "the_onvif_service_of_a_camera_reaches_the_gateway",
    ),
    ("PORTHOLE_LOG", LOGS, "porthole_log_sets_what_is_logged"),
    (
        "PORTHOLE_CAMERA_PASSWORD",
        "tests/program/tests/onvif/probe.rs",
        "the_password_of_the_environment_is_used_unless_there_is_a_file",
    ),
    ("NO_COLOR", LOGS, "logs_have_colours_on_a_terminal_unless_no_color_is_set"),
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
