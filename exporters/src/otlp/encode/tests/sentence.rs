use std::fmt::Write;

use longwave_pipeline::model::{
    CloseReason, ConnectionRecord, End, Event, Interner, Names, Role, Service, Totals, Workload,
};
use longwave_testing::golden;

use crate::otlp::encode::sentence::Sentence;

fn with_role(record: &ConnectionRecord, role: Role) -> ConnectionRecord {
    ConnectionRecord { role, ..record.clone() }
}

/// *Scenario*: one record of each event, as its client, as its server and with an unknown role; each with names and without.
/// *Guarantees*: each body is one sentence that a person understands. Its subject is the local end. An unknown name is the address, the
/// server's end has its port, and a name with a line break stays on its line.
#[test]
fn every_event_is_a_sentence() {
    let mut text = String::new();
    for record in golden::records() {
        for role in [Role::Client, Role::Server, Role::Unknown] {
            let named = with_role(&record, role);
            let unnamed = ConnectionRecord { names: Names::default(), ..named.clone() };
            writeln!(text, "{:?} {role:?}\n  {}\n  {}", record.event, Sentence(&named), Sentence(&unnamed))
                .unwrap();
        }
    }
    insta::assert_snapshot!("sentences", text);
}

/// *Scenario*: a close for each reason, with lost segments and with bytes that were neither sent nor read; one byte; no namespaces; a
/// service that is ambiguous, and one whose workload is unknown; durations up to days; a start that is unknown.
/// *Guarantees*: the verb fits the reason, which is the last word. Numbers are grouped, and a single one has no plural.
#[test]
fn every_close_has_its_verb() {
    let (workloads, services) = (Interner::default(), Interner::default());
    let workload = |name: &str| Some(workloads.intern(Workload { name: name.into(), ..Workload::default() }));
    let service =
        |ambiguous| Some(services.intern(Service { name: "db".into(), ambiguous, ..Service::default() }));
    let mut close = with_role(&golden::records()[2], Role::Client);
    (close.local, close.peer) = (close.peer, close.local);
    close.totals = Totals { sent_bytes: 1_234, received_bytes: 1, retransmits: 1, ..Totals::default() };
    close.names = Names { local: workload("web"), peer: workload("postgres"), service: service(false) };
    let mut text = String::new();
    for reason in CloseReason::ALL {
        writeln!(text, "{}", Sentence(&ConnectionRecord { end: Some(End::Closed(reason)), ..close.clone() }))
            .unwrap();
    }
    close.totals =
        Totals { sent_bytes: 12_345_678, received_bytes: 999, retransmits: 1_000, ..Totals::default() };
    (close.gauges.unsent_bytes, close.gauges.unread_bytes) = (1_000, 1);
    close.names.service = service(true);
    writeln!(text, "{}", Sentence(&close)).unwrap();
    close.names.peer = workload("unknown");
    writeln!(text, "{}", Sentence(&close)).unwrap();
    for seconds in [4, 90, 5_400, 400_000] {
        close.age = seconds * 1_000_000_000;
        writeln!(text, "{}", Sentence(&close)).unwrap();
    }
    close.start_known = false;
    for event in [Event::Open, Event::Update, Event::Close] {
        writeln!(text, "{}", Sentence(&ConnectionRecord { event, connect_duration: None, ..close.clone() }))
            .unwrap();
    }
    insta::assert_snapshot!("verbs", text);
}
