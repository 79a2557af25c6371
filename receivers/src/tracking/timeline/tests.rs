use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;
const BOOT: u64 = 1_700_000_000 * SECOND;

fn at(mono: u64, step: i64) -> Reading {
    Reading { mono, wall: (BOOT + mono).saturating_add_signed(step), uncertainty: 0 }
}

fn timeline() -> Timeline {
    Timeline::new(Duration::from_secs(5), at(12 * SECOND, 0))
}

/// Scenario: the clocks run without steps, and each pass takes 300 ms.
/// Guarantees: ticks are the multiples of the interval on the wall clock, in order. Each pass is due when the wall clock reaches its tick.
#[test]
fn ticks_are_aligned() {
    let mut timeline = timeline();
    for second in [15u64, 20, 25] {
        assert_eq!(timeline.tick(), UnixNanos(BOOT + second * SECOND));
        assert_eq!(timeline.wait(second * SECOND - 7), Duration::from_nanos(7));
        assert!(timeline.wait(second * SECOND).is_zero());
        timeline.complete(at(second * SECOND + 300_000_000, 0));
    }
}

/// Scenario: events just before, at and after a boundary, then one that was observed before the last pass and drained after it.
/// Guarantees: windows are `[start, end)`, and no event belongs to a closed window.
#[test]
fn events_fall_into_half_open_windows() {
    let mut timeline = timeline();
    let window = |timeline: &Timeline, mono: u64| (timeline.event_tick(mono).0 - BOOT) / SECOND;
    assert_eq!(window(&timeline, 15 * SECOND - 1), 15);
    assert_eq!(window(&timeline, 15 * SECOND), 20);
    timeline.complete(at(15 * SECOND, 0));
    assert_eq!(window(&timeline, 15 * SECOND - 1), 20);
    assert_eq!(window(&timeline, 19 * SECOND), 20);
}

/// Scenario: a pass takes more than two intervals.
/// Guarantees: the ticks that were due during the pass are skipped, and none is repeated.
#[test]
fn a_long_pass_skips_ticks() {
    let mut timeline = timeline();
    timeline.complete(at(27 * SECOND, 0));
    assert_eq!(timeline.tick(), UnixNanos(BOOT + 30 * SECOND));
}

/// Scenario: the wall clock is set an hour forward between two passes.
/// Guarantees: the current pass keeps its tick, the next one follows the new time.
#[test]
fn a_step_forward_is_followed() {
    let mut timeline = timeline();
    let hour = 3600 * SECOND;
    assert_eq!(timeline.tick().0, BOOT + 15 * SECOND);
    timeline.complete(at(15 * SECOND, hour as i64));
    assert_eq!(timeline.tick().0, BOOT + hour + 15 * SECOND);
    assert_eq!(timeline.epoch(16 * SECOND).0, BOOT + hour + 16 * SECOND);
}

/// Scenario: the wall clock is set two seconds back, which is less than an interval.
/// Guarantees: records follow as soon as it is noticed. The next tick is the next one of the new time, so one pass is two seconds late.
#[test]
fn a_small_step_back_delays_one_pass() {
    let mut timeline = timeline();
    assert_eq!(timeline.follow(at(13 * SECOND, -2 * SECOND as i64)), Some(-2 * SECOND as i64));
    assert_eq!(timeline.follow(at(14 * SECOND, -2 * SECOND as i64)), None);
    assert_eq!(timeline.epoch(14 * SECOND).0, BOOT + 12 * SECOND);
    assert_eq!(
        timeline.wait(14 * SECOND),
        Duration::from_secs(1),
        "the current pass keeps its tick and its time"
    );
    assert_eq!((timeline.lead(), timeline.is_far_ahead()), (Duration::from_secs(2), false));
    timeline.complete(at(15 * SECOND, -2 * SECOND as i64));
    assert_eq!(timeline.tick().0, BOOT + 20 * SECOND);
    assert_eq!((timeline.wait(15 * SECOND), timeline.lead()), (Duration::from_secs(7), Duration::ZERO));
}

/// Scenario: the wall clock is set seven seconds back, which is more than an interval.
/// Guarantees: records follow immediately. Ticks advance by one interval each, and each is late by a tenth of the interval, until at most
/// one interval is left, by which one pass is late.
#[test]
fn ticks_follow_a_large_step_back_slowly() {
    let mut timeline = timeline();
    let mut mono = 15 * SECOND;
    for pass in 0..7 {
        let tick = timeline.tick().0;
        timeline.complete(at(mono, -7 * SECOND as i64));
        assert_eq!(timeline.epoch(mono).0, BOOT + mono - 7 * SECOND);
        assert_eq!(timeline.tick().0, tick + 5 * SECOND);
        let wait = timeline.wait(mono).as_nanos() as u64;
        let late = [1, 1, 1, 1, 10, 0, 0][pass] * SECOND / 2;
        assert_eq!(wait, 5 * SECOND + late, "pass {pass}");
        mono += wait;
    }
    assert_eq!(timeline.tick(), timeline.epoch(mono));
}

/// Scenario: readings differ by less than they are certain, or by less than a millisecond.
/// Guarantees: the former is no step. The latter is followed and not reported.
#[test]
fn small_differences_are_no_steps() {
    let mut timeline = timeline();
    let uncertain = Reading { uncertainty: 3_000_000, ..at(13 * SECOND, 2_000_000) };
    assert_eq!((timeline.follow(uncertain), timeline.epoch(13 * SECOND).0), (None, BOOT + 13 * SECOND));
    assert_eq!(timeline.follow(at(13 * SECOND, 900_000)), None);
    assert_eq!(timeline.epoch(13 * SECOND).0, BOOT + 13 * SECOND + 900_000);
}

/// Scenario: the receiver stops between two ticks, and right after one.
/// Guarantees: the last tick is now, and after the tick of the last pass.
#[test]
fn the_last_tick_is_now() {
    let mut timeline = timeline();
    assert_eq!(timeline.last_tick(13 * SECOND).0, BOOT + 13 * SECOND);
    timeline.complete(at(15 * SECOND, 0));
    assert_eq!(timeline.last_tick(15 * SECOND).0, BOOT + 15 * SECOND + 1);
}

proptest! {
    /// Scenario: any sequence of clock steps and of passes of any length.
    /// Guarantees: ticks grow strictly, at multiples of the interval. No event belongs to a closed window. The next pass is at most
    /// two intervals away. Records have the wall clock's time.
    #[test]
    fn ticks_only_grow(steps in prop::collection::vec((-20_000i64..20_000, 0u64..12_000), 1..60)) {
        let mut timeline = timeline();
        let (mut mono, mut step) = (12 * SECOND, 0i64);
        for (change, length) in steps {
            mono += timeline.wait(mono).as_nanos() as u64;
            let tick = timeline.tick().0;
            prop_assert_eq!(tick % (5 * SECOND), 0);
            step += change * 1_000_000;
            mono += length * 1_000_000;
            timeline.complete(at(mono, step));
            prop_assert!(timeline.tick().0 > tick);
            prop_assert!(timeline.event_tick(mono.saturating_sub(9 * SECOND)).0 > tick);
            prop_assert!(timeline.wait(mono).as_nanos() as u64 <= 10 * SECOND);
            prop_assert_eq!(timeline.epoch(mono).0, at(mono, step).wall);
            prop_assert_eq!(timeline.due(timeline.tick()), mono + timeline.wait(mono).as_nanos() as u64);
        }
    }
}
