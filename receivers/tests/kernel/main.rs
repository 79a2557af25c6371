//! The kernel side on the running kernel, with real sockets. Needs root and BPF.
#![allow(clippy::unwrap_used)]

mod cgroups;
mod connections;
mod host;
mod limits;
mod load;
mod opening;
mod owners;
mod seeding;
mod unusual;
mod waits;

use std::process::ExitCode;

use longwave_testing::{harness, tests};

fn main() -> ExitCode {
    if let Some(code) = cgroups::client() {
        return code;
    }
    harness::run(tests![
        cgroups::privileged_a_removed_cgroup_has_its_path,
        cgroups::privileged_version_1_is_not_reported,
        cgroups::privileged_a_scope_follows_its_pattern,
        cgroups::privileged_lost_cgroups_are_found_by_the_next_pass,
        connections::privileged_a_connection_closes_with_exact_counters,
        connections::privileged_the_owner_of_a_thread_is_its_process,
        connections::privileged_ipv6_and_unlisten,
        connections::privileged_a_refused_connection_is_a_failure,
        connections::privileged_a_pass_emits_each_active_connection_once,
        connections::privileged_an_idle_connection_has_a_heartbeat,
        connections::privileged_ports_bound_the_scope,
        limits::privileged_a_full_ring_is_counted,
        limits::privileged_a_full_table_is_counted_and_closes_are_reported,
        limits::privileged_the_last_slot_is_used_before_the_table_is_full,
        limits::privileged_a_stopped_reader_costs_one_wake_up,
        limits::privileged_a_full_samples_ring_heals,
        limits::privileged_churn_loses_nothing,
        load::privileged_every_combination_of_switches_loads,
        load::privileged_unusual_options_load,
        load::privileged_the_probe_agrees_with_loading,
        load::privileged_detached_programs_are_a_fault,
        opening::privileged_a_connection_that_opens_has_not_vanished,
        owners::privileged_the_process_that_closes_owns_the_connection,
        owners::privileged_a_reset_by_close_has_the_process,
        owners::privileged_a_received_reset_names_no_process,
        owners::privileged_a_shutdown_shows_a_holder_and_the_close_the_owner,
        owners::privileged_a_walk_finds_the_holders,
        owners::privileged_programs_that_share_a_port_are_distinguished,
        owners::privileged_a_walk_owns_no_socket,
        owners::privileged_a_transparent_proxy_owns_what_it_accepts,
        owners::privileged_an_owner_by_sk_lookup_has_another_port_than_its_listener,
        seeding::privileged_older_connections_are_seeded_once,
        seeding::privileged_other_namespaces_and_orphans_are_seeded,
        unusual::privileged_a_restored_connection_has_no_syn,
        unusual::privileged_a_deferred_connect_counts_from_its_syn,
        unusual::privileged_a_seeded_connect_has_no_duration,
        waits::privileged_a_waiting_connection_is_sampled_in_each_pass,
        waits::privileged_limits_agree_with_tcp_info,
        waits::privileged_an_idle_application_is_the_limit,
        waits::privileged_a_reader_that_sleeps_is_the_limit,
        waits::privileged_a_small_send_buffer_is_the_limit,
        waits::privileged_a_lossy_path_is_the_limit,
    ])
}
