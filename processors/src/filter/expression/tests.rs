use std::num::NonZeroU64;

use longwave_pipeline::model::{
    CloseReason, ConnectionLimits, ConnectionRecord, End, Endpoint, Event, Handle, Interner, LimitDetails,
    Limits, Names, OptionalCount, Role, RoundTrip, Service, Totals, Workload, is_lossy,
};
use proptest::prelude::*;

use super::Expression;

/// Returns the close of a connection from `web` in `shop` at 10.0.0.1:40000 to `db` in `data` at 10.1.0.1:5432, as the client's socket reports
/// it: 8 ms round trip, 3 MiB, 3 of 200 segments sent again, 90 minutes old, the peer's window full for 3 of the last 5 seconds.
fn close() -> ConnectionRecord {
    let workload = |name: &str, namespace: &str| -> Handle<Workload> {
        let workload = Workload {
            name: name.into(),
            namespace: namespace.into(),
            kind: "Deployment".into(),
            ..Workload::default()
        };
        Interner::default().intern(workload)
    };
    let service = Service { name: "postgres".into(), namespace: "data".into(), ..Service::default() };
    let end = |address: &str, port| Endpoint { address: address.parse().unwrap(), port };
    let mut record = ConnectionRecord {
        names: Names {
            local: Some(workload("web", "shop")),
            peer: Some(workload("db", "data")),
            service: Some(Interner::default().intern(service)),
        },
        event: Event::Close,
        role: Role::Client,
        local: end("10.0.0.1", 40_000),
        peer: end("10.1.0.1", 5_432),
        start_known: true,
        age: 5_400_000_000_000,
        round_trip: RoundTrip { smoothed: NonZeroU64::new(8_000_000), ..RoundTrip::default() },
        totals: Totals {
            sent_bytes: 1 << 20,
            received_bytes: 2 << 20,
            data_segments: 200,
            retransmits: 3,
            ..Totals::default()
        },
        end: Some(End::Closed(CloseReason::Fin)),
        ..ConnectionRecord::blank()
    };
    let delta = Limits {
        busy: OptionalCount::new(4_000_000),
        peer_window: OptionalCount::new(3_000_000),
        ..Limits::default()
    };
    record.limits = ConnectionLimits::new(LimitDetails { delta, ..LimitDetails::default() });
    record.elapsed = OptionalCount::new(5_000_000);
    record.owner.name[..7].copy_from_slice(b"gunicor");
    record
}

fn matches(text: &str, record: &ConnectionRecord) -> bool {
    text.parse::<Expression>().unwrap_or_else(|error| panic!("{}", error.with_caret())).matches(record)
}

/// *Scenario*: expressions of each field, operator and end, applied to one record.
/// *Guarantees*: those of the first list match, those of the second do not. A condition without an end is about either end, and `!=` about
/// both.
#[test]
fn conditions_are_compared_with_the_record() {
    let record = close();
    for text in [
        "workload=web",
        "workload=db,cache",
        "from:workload=web to:workload=db",
        "local:workload=w* and peer:workload=d?",
        "namespace=data",
        "kind=Deployment service=postgres process=gunicor",
        "port=5432",
        "to:port=5000-6000",
        "port=80,5432",
        "address=10.1.0.0/16",
        "from:address=10.0.0.1",
        "event=close role=client close_reason=fin",
        "limit=\"peer window\"",
        "limit!=app,network",
        "rtt>5ms",
        "rtt <= 8ms",
        "min_rtt>1s or age>=1h30m",
        "bytes>2MiB sent_bytes<2MiB received_bytes=2097152",
        "retransmits>1%",
        "retransmits=3",
        "retransmits>=1.5%",
        "lost=0",
        "not workload=cache",
        "!(workload=cache or port=80)",
        "workload=\"web\" OR workload='no one'",
        "pod=unknown and container=unknown",
        "fail_reason!=refused",
    ] {
        assert!(matches(text, &record), "{text}");
    }
    for text in [
        "workload=cache",
        "from:workload=db",
        "workload!=web",
        "namespace!=data",
        "to:port=40000",
        "peer:address=10.0.0.0/16",
        "limit=network",
        "rtt>8ms",
        "min_rtt<1s",
        "min_rtt>1ns",
        "retransmits>1.5%",
        "bytes>3MiB",
        "workload=web workload=cache",
        "workload=cache or port=80",
        "workload=unknown",
        "fail_reason=refused",
        "not (workload=web and port=5432)",
    ] {
        assert!(!matches(text, &record), "{text}");
    }
}

/// *Scenario*: `and` beside `or`, with and without parentheses.
/// *Guarantees*: `and` binds tighter than `or`, and parentheses tighter than both.
#[test]
fn and_binds_tighter_than_or() {
    let record = close();
    assert!(matches("workload=web or workload=cache and port=80", &record));
    assert!(!matches("(workload=web or workload=cache) and port=80", &record));
    assert!(matches("not port=80 and workload=web", &record));
}

/// *Scenario*: expressions with one mistake each.
/// *Guarantees*: the message names the place, the cause and, if possible, the remedy.
#[test]
fn mistakes_have_a_caret() {
    let shown: Vec<String> = [
        "",
        "workload",
        "workloud=web",
        "planet=mars",
        "workload>web",
        "workload=",
        "workload=web,",
        "workload=web or",
        "workload=web and and port=80",
        "(workload=web",
        "workload=web)",
        "workload=\"web",
        "form:workload=web",
        "from:service=web",
        "port=http",
        "port=90000",
        "address=10.0.0.0/33",
        "rtt>50",
        "rtt>1ms,2ms",
        "bytes>10M",
        "retransmits>200%",
        "retransmits>few",
        "event=clsoe",
        "limit=peer window",
        "höhe=1 and workload=web",
        "workload = web nöt port=80",
    ]
    .iter()
    .map(|text| match text.parse::<Expression>() {
        Ok(_) => panic!("{text} was accepted"),
        Err(error) => format!("{}\n{error}\n", error.with_caret()),
    })
    .collect();
    insta::assert_snapshot!(shown.join("\n"));
    assert!("(".repeat(100_000).parse::<Expression>().is_err());
    assert!(format!("{}port=1", "not ".repeat(900)).parse::<Expression>().is_err());
}

/// *Scenario*: expressions about names, services, addresses and measures.
/// *Guarantees*: the processors that must come before are those that set the fields, and only expressions about addresses and ports can never
/// change while a connection is open.
#[test]
fn expressions_know_what_they_read() {
    let about = |text: &str| {
        let expression: Expression = text.parse().unwrap();
        (expression.reads_from(), expression.can_change_within_a_connection())
    };
    assert_eq!(about("port=80 or address=10.0.0.0/8"), (vec![], false));
    assert_eq!(about("to:port=80"), (vec![], true));
    assert_eq!(about("rtt>1s"), (vec![], true));
    assert_eq!(about("not (pod=web-1 and (service=web or kind=Pod))"), (vec!["service", "workload"], true));
}

proptest! {
    /// *Scenario*: a connection with any number of segments, of which some were sent again; and one that has sent none.
    /// *Guarantees*: `retransmits>=1%` selects what every screen calls lossy. Without segments the share is unknown, and no comparison is true.
    #[test]
    fn a_lossy_connection_is_selected(again in 1..1_000_000_u64, others in 0..100_000_000_u64) {
        let with = |retransmits, data_segments| ConnectionRecord {
            totals: Totals { retransmits, data_segments, ..Totals::default() },
            ..close()
        };
        prop_assert_eq!(matches("retransmits>=1%", &with(again, again + others)), is_lossy(again, again + others));
        prop_assert!(matches("retransmits>=1%", &with(again, again * 100)));
        prop_assert!(!matches("retransmits<1% or retransmits>=0%", &with(0, 0)));
    }

    /// *Scenario*: any text.
    /// *Guarantees*: reading it does not panic, and neither does the error's text.
    #[test]
    fn no_text_panics(text in "[a-z:=<>!()\"', é0-9]{0,60}") {
        match text.parse::<Expression>() {
            Ok(expression) => drop(expression.matches(&close())),
            Err(error) => drop((error.to_string(), error.with_caret())),
        }
    }

    /// *Scenario*: any tree of conditions, written with and without needless parentheses.
    /// *Guarantees*: the result is that of the logic.
    #[test]
    fn logic_is_kept(values in prop::collection::vec(any::<bool>(), 1..8), with_or in any::<bool>(), negated in any::<bool>()) {
        let condition = |value: &bool| if *value { "port=5432" } else { "port=1" };
        let words: Vec<&str> = values.iter().map(condition).collect();
        let text = words.join(if with_or { " or " } else { " and " });
        let expected = if with_or { values.contains(&true) } else { !values.contains(&false) };
        let text = if negated { format!("not (({text}))") } else { text };
        prop_assert_eq!(matches(&text, &close()), expected != negated);
    }
}
