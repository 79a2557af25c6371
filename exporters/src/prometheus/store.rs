//! [`Store`]: the sums of all series since their creation, and when series that ended may be removed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use longwave_pipeline::model::{Level, Measures, Series, SeriesKey, UnixNanos, Window};

use super::names::Names;

/// Sums by group and labels.
#[derive(Debug)]
pub(super) struct Store {
    names: Arc<Names>,
    /// For each group of [`Names::groups`], its series by the identity of their labels.
    groups: Vec<IndexMap<Box<str>, StoredSeries>>,
    /// Live series of windows, by the address of their keys.
    live: HashMap<(usize, Level), LiveSeries>,
    scrapers: HashMap<Client, Scraper>,
    expiration: Duration,
    /// No series is older, although its first window may have begun before.
    started: UnixNanos,
    /// When the last window was added.
    last_window: Option<Instant>,
    /// Number of series of all groups that have ended.
    ended: usize,
}

/// A live series of a window.
#[derive(Debug)]
struct LiveSeries {
    /// Kept so that the address is not reused.
    _key: Arc<SeriesKey>,
    /// Identity of its labels in each group of its level.
    identities: Vec<(usize, Box<str>)>,
    /// Number of its open connections in its last window.
    active: u64,
}

/// A series of the page. Several series of windows are added to it if their labels are equal.
#[derive(Clone, Debug)]
pub(super) struct StoredSeries {
    /// Key of the first of them, which has the labels.
    pub(super) key: Arc<SeriesKey>,
    pub(super) created: UnixNanos,
    /// Sums since the creation, except for `min_rtt`, which is that of the last window.
    pub(super) sums: Measures,
    /// End of the last window.
    window_end: UnixNanos,
    /// Number of live series of windows.
    live: u32,
    /// When the last of them ended.
    ended: Option<Instant>,
}

/// A client that scrapes: its address, and its `user-agent`, since several may run on one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) agent: Box<str>,
}

/// Times of a client's last two scrapes.
#[derive(Clone, Copy, Debug)]
struct Scraper {
    last: Instant,
    previous: Option<Instant>,
}

/// Maximum number of series that have ended. If there are more, the oldest are removed although they may not have been scraped.
const MAX_ENDED: usize = 50_000;
/// Maximum number of scrapers that are distinguished. Series are not kept for further ones.
const MAX_SCRAPERS: usize = 1_000;

// === impl Store ===

impl Store {
    /// Creates an empty store. All its sums are 0 at `started`.
    pub(super) fn new(names: Arc<Names>, expiration: Duration, started: UnixNanos) -> Self {
        let groups = names.groups().iter().map(|_| IndexMap::new()).collect();
        Self {
            names,
            groups,
            live: HashMap::new(),
            scrapers: HashMap::new(),
            expiration,
            started,
            last_window: None,
            ended: 0,
        }
    }

    /// Adds a window. Returns the number of series that were removed before their last value could be scraped twice.
    pub(super) fn add(&mut self, window: &Window, now: Instant) -> u64 {
        self.expire(now);
        self.last_window = Some(now);
        for series in &window.series {
            self.add_series(series, window.end, now);
        }
        self.remove_excess()
    }

    /// Records a scrape and returns the series of each group.
    pub(super) fn scrape(&mut self, client: Client, now: Instant) -> Vec<Vec<StoredSeries>> {
        self.expire(now);
        let known = self.scrapers.len();
        match self.scrapers.get_mut(&client) {
            Some(scraper) => *scraper = Scraper { last: now, previous: Some(scraper.last) },
            None if known < MAX_SCRAPERS => {
                self.scrapers.insert(client, Scraper { last: now, previous: None });
            }
            None => {}
        }
        self.groups.iter().map(|group| group.values().cloned().collect()).collect()
    }

    /// Returns whether all scrapers have seen the last window. False if there is no scraper. A client that came only once is no scraper,
    /// unless there is no other.
    pub(super) fn is_scraped(&self) -> bool {
        let Some(last_window) = self.last_window else { return true };
        let is_regular = |scraper: &&Scraper| scraper.previous.is_some();
        let any_regular = self.scrapers.values().any(|scraper| is_regular(&scraper));
        let scrapers = self.scrapers.values().filter(|scraper| !any_regular || is_regular(scraper));
        scrapers.map(|scraper| scraper.last).min().is_some_and(|last| last > last_window)
    }

    /// Returns the number of series of the page.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(IndexMap::len).sum()
    }

    fn add_series(&mut self, series: &Series, window_end: UnixNanos, now: Instant) {
        let address = (Arc::as_ptr(&series.key) as usize, series.level);
        let Self { names, groups, live, ended, started, .. } = self;
        let source = live.entry(address).or_insert_with(|| {
            let of_level = names.groups().iter().enumerate().filter(|(_, group)| group.level == series.level);
            let identities: Vec<_> =
                of_level.map(|(index, group)| (index, names.identity(group, &series.key))).collect();
            for (index, identity) in &identities {
                let stored = groups[*index]
                    .entry(identity.clone())
                    .or_insert_with(|| StoredSeries::new(series, *started));
                stored.live += 1;
                // A series that returns before it was removed continues, so that its counters do not decrease.
                *ended -= usize::from(stored.ended.take().is_some());
            }
            LiveSeries { _key: Arc::clone(&series.key), identities, active: 0 }
        });
        for (index, identity) in &source.identities {
            let Some(stored) = groups[*index].get_mut(identity) else { continue };
            stored.add(&series.measures, window_end, source.active);
            if series.ended {
                stored.live -= 1;
                stored.sums.active -= series.measures.active;
                if stored.live == 0 {
                    stored.ended = Some(now);
                    *ended += 1;
                }
            }
        }
        if series.ended {
            live.remove(&address);
        } else {
            source.active = series.measures.active;
        }
    }

    /// Removes the series whose last value every scraper has seen twice, or that ended a long time ago.
    fn expire(&mut self, now: Instant) {
        let expiration = self.expiration;
        self.scrapers.retain(|_, scraper| now.duration_since(scraper.last) < expiration);
        if self.ended == 0 {
            return;
        }
        // Until the first scrape it is unknown when there will be two.
        let seen_twice = self.scrapers.values().map(|scraper| scraper.previous).min().flatten();
        let is_over = |ended: Instant| {
            now.duration_since(ended) >= expiration || seen_twice.is_some_and(|previous| previous > ended)
        };
        let mut removed = 0;
        for group in &mut self.groups {
            let before = group.len();
            group.retain(|_, stored| !stored.ended.is_some_and(is_over));
            removed += before - group.len();
            if group.capacity() / 4 > group.len() {
                group.shrink_to(group.len() * 2);
            }
        }
        self.ended -= removed;
    }

    /// Removes the series that ended first, if too many have ended.
    fn remove_excess(&mut self) -> u64 {
        let Some(excess) = self.ended.checked_sub(MAX_ENDED).filter(|excess| *excess > 0) else { return 0 };
        let ends = self.groups.iter().flat_map(|group| group.values().filter_map(|stored| stored.ended));
        let mut ends: Vec<Instant> = ends.collect();
        let (_, limit, _) = ends.select_nth_unstable(excess - 1);
        let limit = *limit;
        let mut removed = 0;
        for group in &mut self.groups {
            group.retain(|_, stored| {
                let keep = removed >= excess || stored.ended.is_none_or(|ended| ended > limit);
                removed += usize::from(!keep);
                keep
            });
        }
        self.ended -= removed;
        removed as u64
    }
}

// === impl StoredSeries ===

impl StoredSeries {
    fn new(series: &Series, started: UnixNanos) -> Self {
        Self {
            key: Arc::clone(&series.key),
            created: series.created.max(started),
            sums: Measures::default(),
            window_end: UnixNanos::default(),
            live: 0,
            ended: None,
        }
    }

    /// Adds the measures of one series of a window. `active` is the number of connections that it had in its last window.
    fn add(&mut self, measures: &Measures, window_end: UnixNanos, active: u64) {
        if window_end != self.window_end {
            (self.window_end, self.sums.min_rtt) = (window_end, None);
        }
        self.sums.merge(measures);
        self.sums.active -= active;
    }
}
