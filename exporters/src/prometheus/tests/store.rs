use std::sync::Arc;

use longwave_pipeline::model::{Series, SeriesKey, UnixNanos, WorkloadDetails};

use super::{Fixture, ended, key, plain, sample, series};
use crate::prometheus::{Naming, PrometheusConfig};

/// *Scenario*: three windows of one series, with a scrape after each.
/// *Guarantees*: a counter is the sum of all windows, and the active connections are those of the last.
#[test]
fn windows_add_up() {
    let mut fixture = Fixture::new(plain());
    let web = key("web");
    for (number, (sent, active)) in [(100, 2), (0, 2), (11, 1)].into_iter().enumerate() {
        fixture.window(5 * (number as u64 + 1), vec![series(&web, sent, active)]);
        fixture.scrape(5 * (number as u64 + 1) + 1);
    }
    let samples = fixture.scrape(17);
    assert_eq!(sample(&samples, "sent_bytes_total", "web"), Some("111"));
    assert_eq!(sample(&samples, "connections_active", "web"), Some("1"));
    assert_eq!(sample(&samples, "sent_bytes_created", "web"), Some("0.000"));
}

/// *Scenario*: a series ends after a scrape. One scraper comes every 15 seconds, another on the same host every 30.
/// *Guarantees*: each scraper gets the last values twice, with no active connections, and then the series is gone.
#[test]
fn each_scraper_gets_the_last_value_twice() {
    let mut fixture = Fixture::new(plain());
    let (web, slow) = (key("web"), "vmagent");
    fixture.window(5, vec![series(&web, 100, 1)]);
    fixture.scrape(6);
    fixture.scrape_by(slow, 7);
    fixture.window(10, vec![series(&web, 11, 1)]);
    fixture.window(15, vec![ended(&web)]);
    for (scraper, time) in
        [(None, 21), (None, 36), (Some(slow), 37), (None, 51), (None, 66), (Some(slow), 67)]
    {
        let samples = match scraper {
            None => fixture.scrape(time),
            Some(client) => fixture.scrape_by(client, time),
        };
        assert_eq!(sample(&samples, "sent_bytes_total", "web"), Some("111"), "at {time} s");
        assert_eq!(sample(&samples, "connections_active", "web"), Some("0"), "at {time} s");
    }
    assert_eq!(sample(&fixture.scrape(81), "sent_bytes_total", "web"), None);
    assert_eq!(fixture.endpoint.series(), 0);
}

/// *Scenario*: a series ends and returns, once before it was removed and once after that.
/// *Guarantees*: the first time it continues, with the same creation. The second time it starts at zero with a new creation.
#[test]
fn a_series_that_returns() {
    let mut fixture = Fixture::new(plain());
    fixture.scrape(1);
    let first = key("web");
    fixture.window(5, vec![series(&first, 100, 1)]);
    fixture.window(10, vec![ended(&first)]);
    fixture.scrape(11);
    let returned = key("web");
    fixture.window(20, vec![Series { created: UnixNanos(15_000_000_000), ..series(&returned, 7, 1) }]);
    let samples = fixture.scrape(21);
    assert_eq!(sample(&samples, "sent_bytes_total", "web"), Some("107"));
    assert_eq!(sample(&samples, "sent_bytes_created", "web"), Some("0.000"));
    fixture.window(25, vec![ended(&returned)]);
    fixture.scrape(31);
    fixture.scrape(46);
    assert_eq!(sample(&fixture.scrape(61), "sent_bytes_total", "web"), None);
    let again = key("web");
    fixture.window(65, vec![Series { created: UnixNanos(60_000_000_000), ..series(&again, 3, 1) }]);
    let samples = fixture.scrape(76);
    assert_eq!(sample(&samples, "sent_bytes_total", "web"), Some("3"));
    assert_eq!(sample(&samples, "sent_bytes_created", "web"), Some("60.000"));
}

/// *Scenario*: a series ends. Nothing scrapes, or a scraper came once and never again.
/// *Guarantees*: the series remains for `metric_expiration`, and not longer.
#[test]
fn without_scrapes_a_series_expires() {
    for scrapes in [0, 1] {
        let mut fixture = Fixture::new(plain());
        let (web, db) = (key("web"), key("db"));
        fixture.window(5, vec![series(&web, 100, 1), series(&db, 1, 1)]);
        (0..scrapes).for_each(|_| drop(fixture.scrape(6)));
        fixture.window(10, vec![ended(&web), series(&db, 1, 1)]);
        fixture.window(309, vec![series(&db, 1, 1)]);
        assert_eq!(fixture.endpoint.series(), 2);
        fixture.window(311, vec![series(&db, 1, 1)]);
        assert_eq!(fixture.endpoint.series(), 1);
    }
}

/// *Scenario*: two pods of one workload have series of their own in the windows, and Istio's names have no pods. One of the pods ends.
/// *Guarantees*: they are one series of the page. Its counters are the sums of both and do not decrease when one pod ends; its active
/// connections are those of the pods that remain.
#[test]
fn series_with_equal_labels_are_one() {
    let config = PrometheusConfig { naming: Naming::Istio, ..PrometheusConfig::default() };
    let mut fixture = Fixture::new(config);
    let pod = |name: &str| {
        let mut key = (*key("web")).clone();
        if let SeriesKey::Flow(flow) = &mut key {
            flow.source.details =
                Some(Box::new(WorkloadDetails { pod: name.into(), ..WorkloadDetails::default() }));
        }
        Arc::new(key)
    };
    let (one, two) = (pod("web-1"), pod("web-2"));
    fixture.window(5, vec![series(&one, 100, 1), series(&two, 10, 2)]);
    fixture.window(10, vec![ended(&one), series(&two, 1, 2)]);
    let samples = fixture.scrape(11);
    // The client reports, so that what it sent is what Istio calls received.
    let received: Vec<_> =
        samples.iter().filter(|(series, _)| series.starts_with("istio_tcp_received_bytes_total")).collect();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(received[0].1, "111");
}

/// *Scenario*: Longwave starts in the middle of a window.
/// *Guarantees*: the sums of the first window are as old as Longwave, so that a restart within a window has another creation time.
#[test]
fn no_sum_is_older_than_longwave() {
    let mut fixture = Fixture::started(plain(), UnixNanos(3_000_000_000));
    fixture.window(5, vec![series(&key("web"), 100, 1)]);
    assert_eq!(sample(&fixture.scrape(6), "sent_bytes_created", "web"), Some("3.000"));
}

/// *Scenario*: 60,000 series end, nothing scrapes.
/// *Guarantees*: the oldest are removed, so that memory is bounded, and their number is returned.
#[test]
fn too_many_ended_series_are_removed_and_counted() {
    let mut fixture = Fixture::new(plain());
    let keys: Vec<_> = (0..60_000).map(|number| key(&number.to_string())).collect();
    let (old, young) = keys.split_at(20_000);
    fixture.window(5, keys.iter().map(|key| series(key, 1, 1)).collect());
    assert_eq!(
        fixture.window(10, old.iter().map(ended).chain(young.iter().map(|k| series(k, 1, 1))).collect()),
        0
    );
    assert_eq!(fixture.window(15, young.iter().map(ended).collect()), 10_000);
    assert_eq!(fixture.endpoint.series(), 50_000);
    let samples = fixture.scrape(16);
    assert_eq!(sample(&samples, "sent_bytes_total", "59999"), Some("2"));
}
