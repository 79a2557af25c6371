use std::collections::HashMap;
use std::sync::Arc;

use longwave_pipeline::model::{Series, SeriesKey, UnixNanos};
use proptest::prelude::*;

use super::{Fixture, ended, key, plain, series};

/// What happens in one second.
#[derive(Clone, Debug)]
enum Step {
    /// A window in which each of four series may have sent bytes or end.
    Window([Option<u8>; 4]),
    /// A scrape.
    Scrape,
}

fn step() -> impl Strategy<Value = Step> {
    let window =
        proptest::array::uniform4(proptest::option::weighted(0.7, any::<u8>())).prop_map(Step::Window);
    prop_oneof![3 => window, 2 => Just(Step::Scrape)]
}

proptest! {
    /// *Scenario*: random windows of four series that end and return, and scrapes at random times.
    /// *Guarantees*: a counter of the same creation never decreases from scrape to scrape. What a series was given since its creation is
    /// what the scrape shows. A series' last value is scraped twice before it disappears.
    #[test]
    fn counters_never_decrease(steps in proptest::collection::vec(step(), 1..80)) {
        let mut fixture = Fixture::new(plain());
        let names = ["a", "b", "c", "d"];
        let mut live: [Option<Arc<SeriesKey>>; 4] = [const { None }; 4];
        let mut given = [0_u64; 4];
        let mut seen: HashMap<(usize, String), u64> = HashMap::new();
        // Number of scrapes since the end, or `None` if the series is live or unknown.
        let mut scrapes_since_end: [Option<u32>; 4] = [None; 4];
        for (second, step) in steps.into_iter().enumerate() {
            let second = second as u64 + 1;
            match step {
                Step::Window(activity) => {
                    let mut window = Vec::new();
                    for (index, bytes) in activity.into_iter().enumerate() {
                        match (bytes, &live[index]) {
                            (Some(bytes), known) => {
                                let known = known.clone().unwrap_or_else(|| key(names[index]));
                                if scrapes_since_end[index].take().is_none_or(|scrapes| scrapes >= 2) && live[index].is_none() {
                                    given[index] = 0;
                                }
                                given[index] += u64::from(bytes);
                                let created = UnixNanos(second * 1_000_000_000);
                                window.push(Series { created, ..series(&known, bytes.into(), 1) });
                                live[index] = Some(known);
                            }
                            (None, Some(known)) => {
                                window.push(ended(known));
                                live[index] = None;
                                scrapes_since_end[index] = Some(0);
                            }
                            (None, None) => {}
                        }
                    }
                    fixture.window(second, window);
                }
                Step::Scrape => {
                    let samples = fixture.scrape(second);
                    for (index, name) in names.into_iter().enumerate() {
                        let total = super::sample(&samples, "sent_bytes_total", name);
                        let created = super::sample(&samples, "sent_bytes_created", name);
                        if let (Some(total), Some(created)) = (total, created) {
                            let total: u64 = total.parse().unwrap();
                            prop_assert_eq!(total, given[index]);
                            let before = seen.insert((index, created.to_owned()), total).unwrap_or(0);
                            prop_assert!(total >= before);
                        } else {
                            prop_assert!(live[index].is_none());
                            prop_assert!(scrapes_since_end[index].is_none_or(|scrapes| scrapes >= 2));
                        }
                        if let Some(scrapes) = &mut scrapes_since_end[index] {
                            *scrapes += 1;
                        }
                    }
                }
            }
        }
    }
}
