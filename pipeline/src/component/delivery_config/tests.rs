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
