//! The page in a real browser.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use longwave_testing::{gate, harness, tests};
use longwave_tests::browser::Browser;
use longwave_tests::longwave::{Point, free_address};
use longwave_tests::{Family, Longwave, Network, config};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

/// Reports, for each window that the page shows from now on, its start and the exact numbers of the first row.
const WATCH: &str = r#"
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
    window.seen = [];
    const content = document.querySelector("main");
    window.shown = () => [
        content.querySelector("time").getAttribute("datetime"),
        ...[...content.querySelectorAll("tbody tr:first-child data")].map((data) => data.value),
    ];
    new MutationObserver(() => seen.push(shown())).observe(content, { childList: true });
"#;

/// Resolves when the page has shown three more windows.
const AWAIT_THREE: &str = r#"
    const before = seen.length;
    return new Promise((resolve) => {
        const poll = () => (seen.length >= before + 3 ? resolve(seen) : requestAnimationFrame(poll));
        poll();
    });
"#;

/// Returns what the two ends of a connection report of a window, as the page joins them.
fn joined(points: &[&Point]) -> [u64; 2] {
    let most = |source: &str, destination: &str| {
        let of = |point: &&Point| {
            point[if point["reporter"] == "source" { source } else { destination }].as_u64().unwrap()
        };
        points.iter().map(of).max().unwrap()
    };
    [most("sent_bytes", "received_bytes"), most("received_bytes", "sent_bytes")]
}

/// *Scenario*: Chromium shows the page of a running Longwave, narrowed to one connection that exchanges bytes. Then the page is paused, and
/// continued.
/// *Guarantees*: each window that the page shows has the bytes of the JSON lines of the same window. The page follows without a reload, and
/// not while it is paused. Nothing violates its security policy.
fn the_page_shows_what_the_json_lines_have() {
    let _turn = gate::privileged();
    let browser = Browser::start(1280, 1000);
    let address = free_address();
    let base = config::logs_and_windows(
        json!({"interval": "1s"}),
        json!({"interval": "1s", "levels": ["connection"]}),
    );
    let pipelines = json!({"pipelines": {"metrics": {"exporters": ["stdout/metrics", "page"]}}});
    let page = json!({"exporters": {"page": {"endpoint": address.to_string()}}, "service": pipelines});
    let longwave = Longwave::start(config::merged(base, page));
    let network = Network::loopback(Family::ALL[0]);
    let (mut client, mut server) = network.pair().unwrap();
    let port = client.account().local.port();
    browser.open(&format!("http://{address}/?search=127.0.0.1:{port}"));
    browser.run(WATCH);
    let exchange = |client: &mut longwave_tests::end::End, server: &mut longwave_tests::end::End, size| {
        client.write(size).unwrap();
        server.read(size).unwrap();
    };
    for size in [10_000, 3_000] {
        exchange(&mut client, &mut server, size);
        browser.run(AWAIT_THREE);
    }
    assert_eq!(browser.run("return document.getElementById('status').textContent"), "live");

    let paused = browser.run("document.getElementById('pause').click(); return shown()");
    let followed = browser.run(
        r#"return new Promise((resolve) => events.addEventListener("window", () => requestAnimationFrame(() => resolve(shown()))))"#,
    );
    assert_eq!(followed, paused);
    browser.run("document.getElementById('pause').click()");
    let seen = browser.run(AWAIT_THREE);
    assert_eq!(browser.run("return violations"), json!([]));

    let seen: BTreeMap<String, Vec<u64>> = serde_json::from_value::<Vec<Vec<String>>>(seen)
        .unwrap()
        .into_iter()
        .map(|window| {
            (window[0].clone(), window[1..].iter().filter_map(|number| number.parse().ok()).collect())
        })
        .collect();
    let last = seen.keys().next_back().unwrap().clone();
    longwave.await_points("the last window that the page has shown", LIMIT, |point| {
        point["start"].as_str() > Some(&*last)
    });
    let finished = longwave.stop();
    let mut sent = 0;
    for (start, numbers) in seen.iter().filter(|(_, numbers)| !numbers.is_empty()) {
        let is_ours = |point: &&Point| point["start"] == **start && point["source.port"] == port;
        let points: Vec<&Point> = finished.points.iter().filter(is_ours).collect();
        assert_eq!(numbers[..2], joined(&points), "window {start}: {points:?}");
        sent += numbers[0];
    }
    assert_eq!(sent, 13_000, "{seen:?}");
}

fn main() -> ExitCode {
    harness::run(tests![the_page_shows_what_the_json_lines_have])
}
