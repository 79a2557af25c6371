use super::*;

fn problems(queue: QueueConfig, retry: RetryConfig) -> Vec<String> {
    let mut problems = Problems::default();
    queue.validate(&mut problems);
    retry.validate(&mut problems);
    problems.found.into_iter().map(|(key, message)| format!("{key}: {message}")).collect()
}

/// *Scenario*: numbers for which the process would need more memory or threads than any host has, and numbers that a queue cannot work with.
/// *Guarantees*: each is refused at its place, with the limit. The largest numbers that are accepted are those of the limits.
#[test]
fn every_number_has_bounds() {
    let queue = QueueConfig {
        num_consumers: 10_000_000_000,
        queue_size: 4_611_686_018_427_387_904,
        max_bytes: Some(ByteSize(u64::MAX)),
        spread: Some(GoDuration::from_secs(3601)),
        ..QueueConfig::default()
    };
    let retry = RetryConfig { multiplier: 1e300, ..RetryConfig::default() };
    let large = problems(queue, retry);
    let small = QueueConfig {
        num_consumers: 0,
        queue_size: 0,
        max_bytes: Some(ByteSize(1)),
        ..QueueConfig::default()
    };
    let small = problems(small, RetryConfig::default());
    insta::assert_snapshot!([large, small].concat().join("\n"));
    let largest = QueueConfig {
        num_consumers: MAX_CONSUMERS,
        queue_size: MAX_QUEUE_SIZE,
        max_bytes: Some(MAX_QUEUE_BYTES),
        ..QueueConfig::default()
    };
    assert!(
        problems(largest, RetryConfig { multiplier: MAX_MULTIPLIER, ..RetryConfig::default() }).is_empty()
    );
}

/// *Scenario*: processes that may use much, little or very little memory, and a configured limit.
/// *Guarantees*: the queue takes at most an eighth, between 4 and 64 MiB, unless the configuration says otherwise.
#[test]
fn the_default_limit_fits_the_memory() {
    let default = QueueConfig::default();
    let limits = [None, Some(64 << 30), Some(512 << 20), Some(64 << 20), Some(1 << 20)]
        .map(|limit| default.max_bytes(limit) >> 20);
    assert_eq!(limits, [64, 64, 64, 8, 4]);
    let configured = QueueConfig { max_bytes: Some(ByteSize::mib(100)), ..default };
    assert_eq!(configured.max_bytes(Some(64 << 20)) >> 20, 100);
}

/// *Scenario*: a time limit of retries that is less than the longest wait, or than the first; one without retries; none; and a first wait that is
/// longer than the longest.
/// *Guarantees*: as in the Collector, the first two are refused and the others are accepted.
#[test]
fn the_time_limit_leaves_room_for_a_wait() {
    let of = |initial: u64, max: u64, elapsed: u64, enabled: bool| {
        let [initial_interval, max_interval, max_elapsed_time] =
            [initial, max, elapsed].map(GoDuration::from_secs);
        let retry = RetryConfig {
            enabled,
            initial_interval,
            max_interval,
            max_elapsed_time,
            ..RetryConfig::default()
        };
        problems(QueueConfig::default(), retry)
    };
    assert_eq!(
        of(5, 30, 10, true),
        [
            "retry_on_failure::max_elapsed_time: 10s is less than max_interval 30s: increase it, or decrease max_interval"
        ]
    );
    assert_eq!(
        of(60, 30, 40, true),
        [
            "retry_on_failure::max_elapsed_time: 40s is less than initial_interval 1m0s: increase it, or decrease initial_interval"
        ]
    );
    for accepted in [of(5, 30, 10, false), of(5, 30, 0, true), of(60, 30, 300, true)] {
        assert_eq!(accepted, Vec::<String>::new());
    }
}
