use tokio::time::{advance, pause};

use super::*;

const INTERVAL: Duration = Duration::from_secs(5);

fn is_healthy(health: &Health) -> bool {
    matches!(health.status(), HealthStatus::Healthy { .. })
}

fn reasons(health: &Health) -> Vec<String> {
    match health.status() {
        HealthStatus::Healthy { .. } => Vec::new(),
        HealthStatus::Unhealthy { reasons } => reasons,
    }
}

/// *Scenario*: a graph starts, runs for a minute, and fails; then it stops.
/// *Guarantees*: it is healthy only while it runs, with the time since all components had started; the first reason of the stop is kept.
#[tokio::test(start_paused = true)]
async fn healthy_while_it_runs() {
    let health = Health::default();
    assert_eq!(reasons(&health), ["not all components have started"]);
    health.all_started();
    advance(Duration::from_secs(60)).await;
    let HealthStatus::Healthy { uptime, .. } = health.status() else { panic!("{:?}", health.status()) };
    assert_eq!(uptime, Duration::from_secs(60));
    health.stopping("receivers::bpf failed");
    health.stopping("the pipelines are stopping");
    health.all_started();
    assert_eq!(reasons(&health), ["receivers::bpf failed"]);
}

/// *Scenario*: a receiver with passes every 5 s; then its passes stop, and begin again.
/// *Guarantees*: it is stalled after more than three intervals without a pass, and healthy after the next pass.
#[tokio::test(start_paused = true)]
async fn a_receiver_without_passes_is_stalled() {
    let health = Health::default();
    let receiver = health.receiver("bpf", INTERVAL);
    health.all_started();
    for _ in 0..10 {
        advance(INTERVAL).await;
        assert!(is_healthy(&health));
        receiver.pass_ended(None);
    }
    advance(3 * INTERVAL).await;
    assert!(is_healthy(&health));
    advance(Duration::from_millis(1500)).await;
    assert_eq!(reasons(&health), ["receivers::bpf: stalled: no pass has ended for 16.5s (interval 5s)"]);
    receiver.pass_ended(None);
    assert!(is_healthy(&health));
}

/// *Scenario*: passes end, but the kernel side is gone. Then the receiver ends.
/// *Guarantees*: the fault is the reason until a pass without one; a receiver that has ended is not supervised.
#[tokio::test(start_paused = true)]
async fn a_fault_makes_the_receiver_unhealthy() {
    let health = Health::default();
    let receiver = health.receiver("bpf", INTERVAL);
    health.all_started();
    receiver.pass_ended(Some("the program `state` is detached".to_owned()));
    assert_eq!(reasons(&health), ["receivers::bpf: the program `state` is detached"]);
    receiver.pass_ended(None);
    assert!(is_healthy(&health));
    receiver.pass_ended(Some("the program `state` is detached".to_owned()));
    drop(receiver);
    assert!(is_healthy(&health));
}

/// *Scenario*: a processor has nothing to do for an hour; then it processes one batch and does not return.
/// *Guarantees*: a stage without a batch is not stalled; a busy one is after three of the longest interval of the receivers, or of 5 s if no
/// receiver has an interval.
#[tokio::test(start_paused = true)]
async fn a_stage_is_stalled_only_while_it_is_busy() {
    for (intervals, limit) in [(&[60, 1][..], 180), (&[1], 3), (&[], 15)] {
        let health = Health::default();
        let receiver = |seconds: &u64| health.receiver("bpf", Duration::from_secs(*seconds));
        let receivers: Vec<_> = intervals.iter().map(receiver).collect();
        let stage = health.stage("processors::window of service::pipelines::metrics");
        health.all_started();
        let stalled = || reasons(&health).into_iter().find(|reason| reason.starts_with("processor"));
        advance(Duration::from_secs(3600)).await;
        assert_eq!(stalled(), None, "idle, {intervals:?}");
        let busy = stage.busy();
        advance(Duration::from_secs(limit)).await;
        assert_eq!(stalled(), None, "{intervals:?}");
        advance(Duration::from_millis(1)).await;
        let reason = stalled().unwrap();
        assert!(reason.contains("stalled: busy with one batch for"), "{reason}");
        drop(busy);
        assert_eq!(stalled(), None, "{intervals:?}");
        drop(receivers);
    }
}

/// *Scenario*: a receiver has an interval of 100 ms, and its pass is 600 ms late.
/// *Guarantees*: a delay below one second is not a failure.
#[tokio::test]
async fn short_intervals_have_a_minimum() {
    pause();
    let health = Health::default();
    let receiver = health.receiver("bpf", Duration::from_millis(100));
    health.all_started();
    advance(Duration::from_secs(1)).await;
    assert!(is_healthy(&health));
    advance(Duration::from_millis(1)).await;
    assert_eq!(reasons(&health), ["receivers::bpf: stalled: no pass has ended for 1.001s (interval 100ms)"]);
    drop(receiver);
}
