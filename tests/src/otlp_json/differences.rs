//! Turns the points that arrived into those of their windows, and checks their order.

use std::collections::{BTreeMap, HashMap};

use super::{FlatPoint, Temporality, number};

/// The newest point of each series, in the order of arrival.
#[derive(Default)]
pub struct Differences {
    newest: HashMap<SeriesName, FlatPoint>,
}

/// Name and attributes of a series.
type SeriesName = (String, BTreeMap<String, String>);

impl Differences {
    /// Returns the points of one request. A cumulative point is replaced by what it adds to the one before it, since that one's end. A point
    /// that arrived already is left out: a request is sent again if its response was lost.
    ///
    /// # Panics
    /// If a point is not newer than the series' point before it, or if a sum is less, although it has the same start.
    pub fn of(
        &mut self,
        points: Vec<FlatPoint>,
        temporalities: &BTreeMap<String, Temporality>,
    ) -> Vec<FlatPoint> {
        let is_cumulative =
            |point: &FlatPoint| point.start > 0 && temporalities[&point.name] == Temporality::Cumulative;
        points
            .into_iter()
            .filter_map(|point| {
                let before =
                    self.newest.insert((point.name.clone(), point.attributes.clone()), point.clone());
                let Some(before) = before else { return Some(point) };
                if before == point {
                    return None;
                }
                assert!(
                    before.end < point.end,
                    "an older point arrived after a newer one:\n{before:#?}\n{point:#?}"
                );
                if !is_cumulative(&point) || before.start != point.start {
                    return Some(point);
                }
                let value = difference(&point.value, &before.value)
                    .unwrap_or_else(|| panic!("a sum fell:\n{before:#?}\n{point:#?}"));
                Some(FlatPoint { start: before.end, value, ..point })
            })
            .collect()
    }
}

/// Returns the difference of two values in the form of [`FlatPoint::value`]. `None` if the later one is less.
fn difference(later: &str, earlier: &str) -> Option<String> {
    let [later_count, later_sum, later_buckets] = parts(later);
    let [earlier_count, earlier_sum, earlier_buckets] = parts(earlier);
    if later_buckets.is_empty() && (whole(later_count).is_none() || whole(earlier_count).is_none()) {
        // A sum of seconds.
        let (later, earlier): (f64, f64) = (later.parse().ok()?, earlier.parse().ok()?);
        return (later >= earlier).then(|| number(&(later - earlier).into()));
    }
    let count = whole(later_count)?.checked_sub(whole(earlier_count)?)?;
    if later_buckets.is_empty() {
        return Some(count.to_string());
    }
    let sum = later_sum.parse::<f64>().ok()? - earlier_sum.parse::<f64>().ok()?;
    let mut buckets = Vec::new();
    let earlier: HashMap<&str, u64> = buckets_of(earlier_buckets).collect();
    for (upper, count) in buckets_of(later_buckets) {
        match count.checked_sub(earlier.get(upper).copied().unwrap_or_default())? {
            0 => {}
            more => buckets.push(format!("{upper}:{more}")),
        }
    }
    Some(format!("{count}/{}/[{}]", number(&sum.into()), buckets.join(" ")))
}

/// Splits `count/sum/[buckets]`. A number has only a count.
fn parts(value: &str) -> [&str; 3] {
    let mut parts = value.splitn(3, '/');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

fn whole(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn buckets_of(text: &str) -> impl Iterator<Item = (&str, u64)> {
    let pairs = text.trim_matches(['[', ']']).split_whitespace();
    pairs.filter_map(|pair| pair.split_once(':').and_then(|(upper, count)| Some((upper, whole(count)?))))
}
