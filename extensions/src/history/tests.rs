use proptest::prelude::*;

use super::*;

const fn at(time: u64) -> UnixNanos {
    UnixNanos(time)
}

fn history() -> History<u8, &'static str> {
    History::new(Bounds { age: Duration::from_nanos(100), count: 8 })
}

/// *Scenario*: an address is given to another pod between two records. The updates arrive in the order end, start.
/// *Guarantees*: each record gets the value of its own time, to the nanosecond. Before the first value and in the gap there is none.
#[test]
fn recycled_address() {
    let mut table = history();
    table.set(1, "old", at(10));
    table.end(&1, &"old", at(20));
    table.set(1, "new", at(25));
    let names = [9, 10, 19, 20, 24, 25, 99].map(|time| table.at(&1, at(time)).copied());
    assert_eq!(names, [None, Some("old"), Some("old"), None, None, Some("new"), Some("new")]);
    let since = [9, 10, 19, 20, 24, 25, 99].map(|time| table.since(&1, at(time)).map(|since| since.0));
    assert_eq!(since, [None, Some(10), Some(10), None, None, Some(25), Some(25)]);
}

/// *Scenario*: the new value of a key is reported before the end of the old one, whose end is reported late.
/// *Guarantees*: the old value ends where the new one begins, and the late end does not change the new one.
#[test]
fn the_end_of_the_former_value_comes_late() {
    let mut table = history();
    table.set(1, "old", at(10));
    table.set(1, "new", at(20));
    table.end(&1, &"old", at(30));
    assert_eq!(
        [19, 20, 40].map(|time| table.at(&1, at(time)).copied()),
        [Some("old"), Some("new"), Some("new")]
    );
}

/// *Scenario*: the end of a value is reported late, and the next value is known to have started before it.
/// *Guarantees*: the old value ends at the known start.
#[test]
fn a_known_start_corrects_a_late_end() {
    let mut table = history();
    table.set(1, "old", at(10));
    table.end(&1, &"old", at(30));
    table.set(1, "new", at(20));
    assert_eq!(
        [19, 20, 40].map(|time| table.at(&1, at(time)).copied()),
        [Some("old"), Some("new"), Some("new")]
    );
}

/// *Scenario*: after a gap the newer value is reported first, then one that started earlier.
/// *Guarantees*: the newer value stays current, the older one is its past.
#[test]
fn older_values_come_later() {
    let mut table = history();
    table.set(1, "new", at(20));
    table.set(1, "old", at(10));
    assert_eq!([9, 10, 20].map(|time| table.at(&1, at(time)).copied()), [None, Some("old"), Some("new")]);
}

/// *Scenario*: a value is seen now that may have started earlier, for a key without a value, with a former value and with a current value.
/// *Guarantees*: it reaches back as far as it may have started, and never into the span of another value.
#[test]
fn starts_that_are_not_known() {
    let mut table = history();
    table.set_since(1, "first", at(5), at(10));
    assert_eq!(table.at(&1, at(5)), Some(&"first"));
    table.end_current(&1, at(20));
    table.set_since(1, "second", at(15), at(30));
    assert_eq!([19, 20].map(|time| table.at(&1, at(time)).copied()), [Some("first"), Some("second")]);
    table.set_since(1, "third", at(30), at(40));
    assert_eq!([39, 40].map(|time| table.at(&1, at(time)).copied()), [Some("second"), Some("third")]);
}

/// *Scenario*: a start is given by another clock, for a key without a value, for one whose former value ended shortly before or after the
/// start, and for one with a current value.
/// *Guarantees*: the slack is used only where no other value is valid.
#[test]
fn starts_by_another_clock() {
    let slack = Duration::from_nanos(5);
    let cases = [(None, 95), (Some(10), 95), (Some(97), 97), (Some(100), 100), (Some(104), 100)];
    for (former, expected) in cases {
        let mut table = history();
        if let Some(until) = former {
            table.set(1, "old", at(0));
            table.end_current(&1, at(until));
        }
        table.set_with_slack(1, "new", at(100), slack);
        let first = (0..200).find(|time| table.at(&1, at(*time)) == Some(&"new"));
        assert_eq!(first, Some(expected), "{former:?}");
    }
    let mut table = history();
    table.set(1, "old", at(0));
    table.set_with_slack(1, "new", at(100), slack);
    assert_eq!([99, 100].map(|time| table.at(&1, at(time)).copied()), [Some("old"), Some("new")]);
}

/// *Scenario*: time passes after an end. Then more values end than the table may keep.
/// *Guarantees*: a former value is kept for the age of the bounds and then evicted. Above their count the oldest are evicted first. A
/// current value is never evicted.
#[test]
fn bounds() {
    let mut table = history();
    table.set(1, "old", at(10));
    table.end_current(&1, at(20));
    table.set(2, "stays", at(10));
    table.evict_expired(at(120));
    assert_eq!(table.latest(&1), Some(&"old"));
    table.evict_expired(at(121));
    assert_eq!((table.latest(&1), table.past_len()), (None, 0));
    for key in 10..30 {
        table.set(key, "short", at(200));
        table.end_current(&key, at(210));
    }
    assert_eq!(table.past_len(), 8);
    assert_eq!((table.at(&21, at(205)), table.at(&22, at(205))), (None, Some(&"short")));
    assert_eq!(table.at(&2, at(1000)), Some(&"stays"));
}

/// Every span of one key that was ever set, in a plain list.
#[derive(Default)]
struct Model(Vec<(u8, u64, u64)>);

impl Model {
    fn set(&mut self, value: u8, from: u64) {
        match self.0.last().copied() {
            Some((current, _, u64::MAX)) if current == value => {}
            Some((_, began, u64::MAX)) if from < began => {
                // The newer value stays; the older one fills what is free before it.
                let last = self.0.len() - 1;
                let from = match last.checked_sub(1).map(|before| &mut self.0[before]) {
                    Some(before) if before.1 >= from => before.2,
                    Some(before) => {
                        before.2 = before.2.min(from);
                        from
                    }
                    None => from,
                };
                self.0.insert(last, (value, from, began));
            }
            Some((.., u64::MAX)) => {
                let last = self.0.len() - 1;
                self.0[last].2 = from;
                self.0.push((value, from, u64::MAX));
            }
            Some((_, began, until)) => {
                let last = self.0.len() - 1;
                let from = if began >= from { until } else { from };
                self.0[last].2 = until.min(from);
                self.0.push((value, from, u64::MAX));
            }
            None => self.0.push((value, from, u64::MAX)),
        }
        self.0.retain(|(_, from, until)| from < until);
    }

    fn end(&mut self, value: u8, until: u64) {
        if let Some(last) = self.0.last_mut().filter(|last| last.0 == value && last.2 == u64::MAX) {
            last.2 = until;
        }
        self.0.retain(|(_, from, until)| from < until);
    }

    fn at(&self, at: u64) -> Vec<u8> {
        self.0.iter().filter(|(_, from, until)| (*from..*until).contains(&at)).map(|span| span.0).collect()
    }
}

/// *Scenario*: an address has one value, another has a second one; then the clock is set back by two hours. A third address gets a value a
/// moment before the first eviction, from a clock that is slightly ahead.
/// *Guarantees*: after the next eviction the current values are found again, for connections that began before and after the step. The start
/// of the third value does not change.
#[test]
fn current_values_are_found_after_the_clock_was_set_back() {
    let hour = 3_600_000_000_000;
    let mut table = History::new(Bounds::default());
    table.set(1, "only", at(5 * hour));
    table.set(2, "former", at(4 * hour));
    table.set(2, "second", at(5 * hour));
    let now = 3 * hour;
    table.set(3, "ahead", at(now + 5_000_000_000));
    assert_eq!((table.at(&1, at(now)), table.at(&2, at(now))), (None, None));
    table.evict_expired(at(now));
    assert_eq!((table.at(&1, at(now - 1)), table.at(&1, at(5 * hour))), (Some(&"only"), Some(&"only")));
    assert_eq!((table.at(&2, at(now)), table.at(&2, at(5 * hour))), (Some(&"second"), Some(&"second")));
    assert_eq!((table.at(&3, at(now)), table.at(&3, at(now + 5_000_000_000))), (None, Some(&"ahead")));
}

proptest! {
    /// *Scenario*: any changes of two keys, in any order, with times that jump back and forth.
    /// *Guarantees*: at any time a key has at most one value, the same as in a plain list of all spans.
    #[test]
    fn equals_a_list_of_spans(changes in proptest::collection::vec((0u8..2, 0u8..3, 0u64..40, any::<bool>()), 0..40)) {
        let mut table = History::new(Bounds { age: Duration::from_secs(1), count: 1000 });
        let mut models = [Model::default(), Model::default()];
        for (key, value, time, set) in changes {
            if set {
                table.set(key, value, at(time));
                models[usize::from(key)].set(value, time);
            } else {
                table.end(&key, &value, at(time));
                models[usize::from(key)].end(value, time);
            }
        }
        for key in 0..2u8 {
            for time in 0..45 {
                let expected = models[usize::from(key)].at(time);
                prop_assert!(expected.len() <= 1, "{expected:?}");
                prop_assert_eq!(table.at(&key, at(time)), expected.first(), "key {} at {}", key, time);
            }
        }
    }

    /// *Scenario*: any changes, with times that move on, and an eviction after each.
    /// *Guarantees*: there are never more former values than the bound, and when its age has passed, none is left.
    #[test]
    fn stays_within_bounds(changes in proptest::collection::vec((0u8..6, 0u8..3, any::<bool>()), 0..200)) {
        let mut table = History::new(Bounds { age: Duration::from_nanos(10), count: 5 });
        let mut now = 0;
        for (key, value, set) in changes {
            now += 1;
            if set {
                table.set_since(key, value, at(now - 1), at(now));
            } else {
                table.end(&key, &value, at(now));
            }
            table.evict_expired(at(now));
            prop_assert!(table.past_len() <= 5);
        }
        table.evict_expired(at(now + 11));
        prop_assert_eq!(table.past_len(), 0);
        prop_assert!(table.past.is_empty());
    }
}
