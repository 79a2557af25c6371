use std::sync::Arc;

use longwave_pipeline::model::{
    CloseReason, FailReason, FlowKey, Level, Measures, Reporter, Rung, Series, SeriesKey, ServiceKey, Totals,
    UnixNanos, Window, WorkloadDetails, WorkloadKey,
};

use super::*;
use longwave_pipeline::component::visible;
use longwave_testing::golden;

fn plain(columns: usize) -> View {
    View { columns, rows: None, styled: false }
}

fn text(name: &str) -> Arc<str> {
    if name == "unknown" { Arc::default() } else { name.into() }
}

/// Returns a series. `names` are reporter, source, source namespace, service, destination, destination namespace.
fn flow(level: Level, names: [&str; 6], measures: Measures) -> Series {
    let [reporter, source, source_namespace, service, destination, namespace] = names;
    let workload = |name, namespace| WorkloadKey {
        name: Some(text(name)),
        namespace: Some(text(namespace)),
        ..WorkloadKey::default()
    };
    let service_namespace = if service == "unknown" { "unknown" } else { namespace };
    let key = FlowKey {
        reporter: if reporter == "source" { Reporter::Source } else { Reporter::Destination },
        source: workload(source, source_namespace),
        service: ServiceKey {
            name: Some(text(service)),
            namespace: Some(text(service_namespace)),
            ambiguous: false,
        },
        destination: if level == Level::Workload {
            workload(destination, namespace)
        } else {
            WorkloadKey::default()
        },
        connection: None,
        folded: None,
    };
    let key = Arc::new(SeriesKey::Flow(key));
    Series { level, key, created: golden::START, ended: false, measures }
}

struct Numbers {
    sent: u64,
    received: u64,
    retransmits: u64,
    rtt: f64,
    connections: [u64; 4],
}

fn measures(numbers: Numbers) -> Measures {
    let Numbers { sent, received, retransmits, rtt, connections: [active, opened, closed, failed] } = numbers;
    let mut measures = Measures {
        totals: Totals {
            sent_bytes: sent,
            received_bytes: received,
            sent_segments: sent / 1_400 + opened,
            received_segments: received / 1_400 + opened,
            data_segments: sent / 1_400,
            retransmits,
            lost: retransmits / 2,
        },
        active,
        opened,
        ..Measures::default()
    };
    (0..closed).for_each(|_| measures.count_closed(CloseReason::Fin));
    measures.count_failed(FailReason::Refused, failed);
    if rtt > 0.0 {
        measures.rtt.record(rtt);
        measures.rtt.record(rtt * 1.5);
        measures.min_rtt = Some(rtt * 0.8);
    }
    measures
}

fn window(series: Vec<Series>) -> Window {
    Window { start: golden::START, end: golden::END, series }
}

/// Returns the window of a host without Kubernetes: systemd units, processes, unknown peers, and one flow with both ends on the host.
fn host() -> Window {
    let row = |names: [&str; 4], sent, received, retransmits, rtt, connections| {
        let [reporter, source, destination, service] = names;
        let names = [reporter, source, "unknown", service, destination, "unknown"];
        flow(Level::Workload, names, measures(Numbers { sent, received, retransmits, rtt, connections }))
    };
    window(vec![
        row(["source", "firefox", "unknown", "unknown"], 184_320, 48_234_112, 0, 0.0123, [14, 3, 1, 0]),
        row(
            ["destination", "unknown", "nginx.service", "unknown"],
            912_345_678,
            1_234_567,
            42,
            0.0321,
            [231, 120, 118, 0],
        ),
        row(
            ["source", "nginx.service", "postgresql.service", "unknown"],
            2_345_678,
            34_567_890,
            0,
            0.000_045,
            [20, 0, 0, 0],
        ),
        row(
            ["destination", "nginx.service", "postgresql.service", "unknown"],
            34_567_890,
            2_345_678,
            0,
            0.000_041,
            [20, 0, 0, 0],
        ),
        row(["destination", "unknown", "ssh.service", "unknown"], 1_248, 936, 0, 0.0283, [1, 0, 0, 0]),
        row(["source", "chronyd.service", "unknown", "unknown"], 0, 0, 0, 0.0, [1, 0, 0, 0]),
        row(
            ["source", "backup-to-the-other-data-centre.service", "unknown", "unknown"],
            0,
            0,
            0,
            0.0,
            [0, 0, 0, 7],
        ),
    ])
}

/// Returns the window of a Kubernetes node: namespaces, services, long names, and an overflow series.
fn node() -> Window {
    let row = |names, sent, received, retransmits, rtt, connections| {
        flow(Level::Workload, names, measures(Numbers { sent, received, retransmits, rtt, connections }))
    };
    let mut series = vec![
        row(
            ["source", "checkout", "shop", "cart", "cart", "shop"],
            45_678,
            1_234_567,
            3,
            0.000_31,
            [12, 4, 3, 0],
        ),
        row(
            ["source", "checkout", "shop", "payment-gateway-external", "unknown", "shop"],
            8_912,
            4_567,
            0,
            0.0452,
            [2, 2, 2, 1],
        ),
        row(
            ["destination", "frontend-proxy-canary-deployment", "web", "checkout", "checkout", "shop"],
            9_345_678,
            812_345,
            0,
            0.000_52,
            [64, 11, 9, 0],
        ),
        row(
            ["destination", "unknown", "unknown", "unknown", "node-exporter", "monitoring"],
            123_456,
            1_234,
            0,
            0.0009,
            [1, 1, 1, 0],
        ),
    ];
    series.push(Series {
        level: Level::Workload,
        key: Arc::new(SeriesKey::Overflow),
        created: golden::START,
        ended: false,
        measures: measures(Numbers {
            sent: 1 << 34,
            received: 77,
            retransmits: 0,
            rtt: 0.0,
            connections: [1_000_000, 0, 0, 0],
        }),
    });
    // The table shows the finer level only.
    series.push(flow(
        Level::Service,
        ["source", "checkout", "shop", "cart", "", "shop"],
        measures(Numbers {
            sent: 45_678,
            received: 1_234_567,
            retransmits: 3,
            rtt: 0.000_31,
            connections: [12, 4, 3, 0],
        }),
    ));
    window(series)
}

/// *Scenario*: a window of a host and one of a Kubernetes node, at 80 and 160 columns.
/// *Guarantees*: the tables are those of the snapshots.
#[test]
fn tables_at_80_and_160_columns() {
    for (name, window) in [("host", host()), ("node", node())] {
        for columns in [80, 160] {
            insta::assert_snapshot!(format!("{name}_{columns}"), draw(&window, &plain(columns)));
        }
    }
}

/// *Scenario*: a window with connection series only, one with service series only, and the golden window.
/// *Guarantees*: the table shows the finer of the levels service and workload. It shows connections, with addresses, only if there is no
/// other level.
#[test]
fn the_level_is_the_finest_that_names_workloads() {
    let golden = golden::window();
    let only = |level| {
        let series = golden.series.iter().filter(|series| series.level == level).cloned().collect();
        draw(&window(series), &plain(120))
    };
    let tables = [only(Level::Connection), only(Level::Service), draw(&golden, &plain(120))];
    insta::assert_snapshot!(tables.join("\n"));
}

/// *Scenario*: an empty window, and one whose series have no activity.
/// *Guarantees*: there is a note instead of a table.
#[test]
fn an_empty_window_has_a_note() {
    let quiet = flow(Level::Workload, ["source"; 6], Measures::default());
    let tables = [draw(&window(Vec::new()), &plain(80)), draw(&window(vec![quiet]), &plain(160))];
    insta::assert_snapshot!(tables.join("\n"));
}

/// *Scenario*: more flows than the terminal has lines, and a terminal with only a few lines.
/// *Guarantees*: the table shows the busiest flows, the number and the bytes of the others, and the total. It has at least three rows.
#[test]
fn rows_are_limited_to_the_terminal() {
    let table = draw(&host(), &View { columns: 80, rows: Some(10), styled: false });
    let tiny = draw(&host(), &View { columns: 80, rows: Some(2), styled: false });
    assert_eq!(table.lines().count(), 9);
    insta::assert_snapshot!(table + &tiny);
}

/// *Scenario*: a table with and without styles.
/// *Guarantees*: the styles are bold and dim only, and each styled line ends with a reset.
#[test]
fn styles_are_bold_and_dim() {
    let styled = draw(&host(), &View { styled: true, ..plain(80) });
    let stripped = styled.replace(BOLD, "").replace(DIM, "").replace(PLAIN, "");
    assert_eq!(stripped, draw(&host(), &plain(80)));
    for line in styled.lines().filter(|line| line.starts_with('\x1b')) {
        assert!(line.ends_with(PLAIN), "{line:?}");
    }
}

/// *Scenario*: every width from 1 to 220, with long names that contain wide characters, control and format characters.
/// *Guarantees*: no line is wider than the terminal or contains a control or format character; such a character is shown escaped. Nothing
/// panics.
#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut window = node();
    let odd = [
        "source",
        "東京データセンター倉庫",
        "日本",
        "svc\x1b[2J\n",
        "\u{202e}🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀",
        "\u{301}combining",
    ];
    let numbers = Numbers {
        sent: u64::MAX,
        received: u64::MAX,
        retransmits: u64::MAX,
        rtt: 1e9,
        connections: [u64::MAX / 4, 1, 1, 1],
    };
    window.series.push(flow(Level::Workload, odd, measures(numbers)));
    for columns in 1..=220 {
        let table = draw(&window, &plain(columns));
        for line in table.lines() {
            assert!(fit::width(line) <= columns, "{columns}: {line}");
            assert!(!line.contains(visible::must_be_escaped), "{line:?}");
        }
    }
    let table = draw(&window, &plain(220));
    assert!(table.contains("svc\\u{1b}[2J\\n") && table.contains("\\u{202e}🦀"), "{table}");
}

/// *Scenario*: a series of workloads, and the same folded by owners and by namespaces.
/// *Guarantees*: folded rows have a mark; a namespace without a workload is `*.<namespace>`.
#[test]
fn folded_rows_are_marked() {
    let numbers = || Numbers { sent: 10, received: 20, retransmits: 0, rtt: 0.0, connections: [1, 1, 0, 0] };
    let mut own =
        flow(Level::Workload, ["source", "web", "shop", "cart", "cart", "back"], measures(numbers()));
    let mut key = (*own.key).clone();
    if let SeriesKey::Flow(flow) = &mut key {
        flow.source.details =
            Some(Box::new(WorkloadDetails { pod: "web-0".into(), ..WorkloadDetails::default() }));
    }
    own.key = Arc::new(key);
    let folded = |rung| Series { key: Arc::new(own.key.folded(rung).unwrap()), ..own.clone() };
    let series = vec![own.clone(), folded(Rung::Owner), folded(Rung::Namespace)];
    insta::assert_snapshot!(draw(&window(series), &plain(100)));
}

/// *Scenario*: a window of length zero, and one with the largest time.
/// *Guarantees*: the table has no rates. Nothing panics.
#[test]
fn odd_windows_are_drawn() {
    let mut window = host();
    window.end = window.start;
    let table = draw(&window, &plain(160));
    assert!(table.contains("2.35MB") && !table.contains("469k"), "bytes, but no rates");
    (window.start, window.end) = (UnixNanos(u64::MAX), UnixNanos(0));
    draw(&window, &plain(160));
}
