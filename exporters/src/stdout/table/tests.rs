use std::sync::Arc;

use longwave_pipeline::model::{
    CloseReason, FailReason, FlowKey, Level, Measures, Reporter, Rung, Series, SeriesKey, ServiceKey, Totals,
    UnixNanos, Window, WorkloadDetails, WorkloadKey,
};

use super::*;
use crate::flows::Side;
use longwave_pipeline::component::visible;
use longwave_testing::golden;

fn plain(columns: usize) -> View {
    View { columns, rows: None, styled: false }
}

/// Draws a table that is not the first one.
fn draw(window: &Window, view: &View) -> String {
    Table { has_drawn: true, ..Table::default() }.draw(window, view)
}

fn text(name: &str) -> Arc<str> {
    if name == "unknown" { Arc::default() } else { name.into() }
}

/// Returns a series. `names` are reporter, source, source namespace, service, destination, destination namespace.
fn flow(level: Level, names: [&str; 6], measures: Measures) -> Series {
    let [reporter, source, source_namespace, service, destination, namespace] = names;
    let workload = |name, namespace: &str| WorkloadKey {
        name: Some(text(name)),
        kind: Some(if namespace == "unknown" { "SystemdUnit" } else { "Deployment" }.into()),
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

/// Returns a window of `count` flows. Each 13th has failures, each 17th losses; both have few bytes.
fn crowd(count: u64) -> Window {
    window(
        (0..count)
            .map(|number| {
                let (failed, lost) = (u64::from(number % 13 == 12) * 25, u64::from(number % 17 == 16) * 9);
                let sent = if failed + lost > 0 { 900 } else { 10_000_000 / (number + 1) };
                let (name, peer) = (format!("client-{number}"), format!("server-{}", number % 7));
                let names = ["source", &name, "shop", "unknown", &peer, "shop"];
                let connections = [3, 2, 1, failed];
                let numbers =
                    Numbers { sent, received: sent / 3, retransmits: lost, rtt: 0.0004, connections };
                flow(Level::Workload, names, measures(numbers))
            })
            .collect(),
    )
}

/// *Scenario*: 3, 30 and 300 flows on terminals of 80, 120 and 160 columns and 24 lines. Some flows with few bytes have failures or losses.
/// *Guarantees*: the tables are those of the snapshots. At any width, a flow with failures is visible with the reason, and the line about the
/// hidden flows has their failures and retransmits. The totals of visible and hidden rows are those of all flows.
#[test]
fn troubled_flows_are_visible_at_any_width() {
    for count in [3, 30, 300] {
        for columns in [80, 120, 160] {
            let table = draw(&crowd(count), &View { columns, rows: Some(24), styled: false });
            assert!(table.lines().count() <= 23, "{table}");
            if count >= 30 {
                assert!(table.contains("25 refused"), "{table}");
            }
            if count == 300 {
                let more = table.lines().find(|line| line.starts_with("… and")).unwrap();
                assert!(more.contains("failed") && more.contains("retransmits"), "{more}");
            }
            insta::assert_snapshot!(format!("crowd_{count}_{columns}"), table);
        }
    }
}

/// *Scenario*: any number of rows, lines, and troubled flows.
/// *Guarantees*: every row is either shown or hidden; as many are shown as fit; the order is kept.
#[test]
fn every_row_is_shown_or_hidden_once() {
    for count in [0, 1, 2, 5, 26, 300] {
        let mut rows = Flows::of_window(&crowd(count), false).all;
        Scores::default().sort(&mut rows);
        for room in 0..30 {
            let (visible, hidden) = choose_rows(&rows, room);
            assert_eq!(visible.len(), room.min(rows.len()));
            let at = |row: &&Flow| rows.iter().position(|known| std::ptr::eq(known, *row)).unwrap();
            let shown: Vec<usize> = visible.iter().map(at).collect();
            assert!(shown.is_sorted(), "{shown:?}");
            let mut all: Vec<usize> = visible.iter().chain(&hidden).map(at).collect();
            all.sort_unstable();
            assert_eq!(all, (0..rows.len()).collect::<Vec<_>>());
        }
    }
}

/// *Scenario*: a flow between two units of this host, with and without `both_ends`; and the same between two Deployments, of which a part may
/// run on other nodes.
/// *Guarantees*: the units have one row that counts each connection once, and two on request. The Deployments keep a row for each end.
#[test]
fn a_flow_within_the_host_has_one_row() {
    let rows = |both_ends, namespace| {
        let end = |reporter, sent, received| {
            let names = [reporter, "nginx", namespace, "unknown", "db", namespace];
            let connections = [20, 2, 1, 0];
            flow(
                Level::Workload,
                names,
                measures(Numbers { sent, received, retransmits: 2, rtt: 0.001, connections }),
            )
        };
        let window = window(vec![end("source", 1_000, 5_000), end("destination", 5_000, 990)]);
        Flows::of_window(&window, both_ends).all
    };
    let joined = rows(false, "unknown");
    let [row] = joined.as_slice() else { panic!("{joined:?}") };
    assert_eq!((row.side, row.towards, row.back, row.active, row.opened), (Side::Both, 1_000, 5_000, 20, 2));
    assert_eq!(row.retransmits, 4, "each end retransmits its own direction");
    assert_eq!(rows(true, "unknown").len(), 2);
    assert_eq!(rows(false, "shop").len(), 2);
}

/// *Scenario*: a busy table, then a quiet one with shorter names on the same screen, then one on a narrower screen.
/// *Guarantees*: the second has its columns where the first has them. The third fits its screen.
#[test]
fn columns_stay_where_they_are() {
    let mut table = Table { has_drawn: true, ..Table::default() };
    let first = table.draw(&host(), &plain(120));
    let mut quiet = host();
    quiet
        .series
        .retain(|series| series.measures.totals.retransmits == 0 && series.measures.failed_total() == 0);
    let second = table.draw(&quiet, &plain(120));
    assert_eq!(first.lines().nth(1), second.lines().nth(1));
    let third = table.draw(&quiet, &plain(60));
    assert!(third.lines().all(|line| fit::width(line) <= 60), "{third}");
}

/// *Scenario*: two flows of which the second is a little busier for one window.
/// *Guarantees*: they keep their positions; if it stays busier, it becomes the first. Scores of flows that have ended are removed.
#[test]
fn rows_change_places_slowly() {
    let mut scores = Scores::default();
    let mut order = |one, other| {
        let row = |name, sent| {
            let numbers = Numbers { sent, received: 0, retransmits: 0, rtt: 0.0, connections: [1, 0, 0, 0] };
            flow(Level::Workload, ["source", name, "shop", "unknown", "db", "shop"], measures(numbers))
        };
        let mut rows = Flows::of_window(&window(vec![row("one", one), row("other", other)]), false).all;
        scores.sort(&mut rows);
        rows[0].source.clone()
    };
    assert_eq!(order(10_000, 9_000), "one.shop");
    assert_eq!(order(10_000, 10_400), "one.shop");
    assert_eq!(order(10_000, 12_000), "other.shop");
}

/// *Scenario*: the first table of a run, with the legend.
/// *Guarantees*: the legend comes before it and a note after it, and neither is repeated, also if the first window is empty.
#[test]
fn the_first_table_explains_itself() {
    let mut table = Table::new(TableConfig { legend: true, both_ends: false });
    let (first, second) = (table.draw(&host(), &plain(80)), table.draw(&host(), &plain(80)));
    assert!(first.starts_with("SOURCE, DESTINATION  client") && first.contains(FIRST), "{first}");
    assert!(!second.contains("client and server") && !second.contains(FIRST), "{second}");
    let mut table = Table::new(TableConfig { legend: true, both_ends: false });
    let (empty, next) = (table.draw(&window(Vec::new()), &plain(80)), table.draw(&host(), &plain(80)));
    assert!(empty.starts_with("SOURCE, DESTINATION  client"), "{empty}");
    assert!(!next.contains("client and server") && !next.contains(FIRST), "{next}");
    assert!(legend::lines().all(|line| fit::width(line) <= 80));
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
/// *Guarantees*: flows with failures are red, those with losses yellow. Each styled line ends with a reset. Without styles nothing else differs.
#[test]
fn failures_and_losses_stand_out() {
    let styled = draw(&host(), &View { styled: true, ..plain(80) });
    let stripped =
        styled.replace(BOLD, "").replace(DIM, "").replace(RED, "").replace(YELLOW, "").replace(PLAIN, "");
    assert_eq!(stripped, draw(&host(), &plain(80)));
    assert!(styled.lines().any(|line| line.starts_with(RED) && line.contains("backup-to")), "{styled}");
    let lossy = draw(&crowd(30), &View { styled: true, ..plain(80) });
    assert!(lossy.lines().any(|line| line.starts_with(YELLOW) && line.contains("client-16")), "{lossy}");
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
