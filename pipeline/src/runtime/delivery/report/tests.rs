use super::*;

/// Lines, each with the second at which it was written.
#[derive(Default)]
struct Log(Vec<(u64, Line)>);

impl Log {
    fn add(&mut self, second: u64, line: Option<Line>) {
        self.0.extend(line.map(|line| (second, line)));
    }

    fn text(&self) -> String {
        self.0.iter().map(|(second, line)| format!("{second}s {line:?}\n")).collect()
    }
}

/// *Scenario*: a server is down for ten minutes while ten consumers retry every five seconds, and payloads are dropped. Then it is back.
/// *Guarantees*: one line when it fails, one a minute with counts, and one when it is back. Together they count every failure and drop.
#[tokio::test(start_paused = true)]
async fn an_outage_is_one_line_a_minute() {
    let (start, mut state, mut log) = (Instant::now(), ReportState::default(), Log::default());
    for second in (0..600).step_by(5) {
        let now = start + Duration::from_secs(second);
        for _ in 0..10 {
            log.add(second, state.failed(now, "refused"));
        }
        if second >= 300 {
            log.add(second, state.dropped(now, DropReason::RETRIES_EXHAUSTED, 2, "refused"));
            log.add(second, state.dropped(now, DropReason::QUEUE_FULL, 1, "full"));
        }
    }
    let back = start + Duration::from_secs(600);
    for _ in 0..10 {
        log.add(600, state.succeeded(back));
    }
    insta::assert_snapshot!(log.text());
    assert!(state.finish().is_empty());
}

/// *Scenario*: the queue is full before the first attempt has failed; then the server is down, and after a while it is back.
/// *Guarantees*: the drop does not hide the outage: its beginning and its end are reported.
#[tokio::test(start_paused = true)]
async fn a_drop_before_an_outage_does_not_hide_it() {
    let (start, mut state, mut log) = (Instant::now(), ReportState::default(), Log::default());
    log.add(0, state.dropped(start, DropReason::QUEUE_FULL, 5, "full"));
    log.add(1, state.failed(start + Duration::from_secs(1), "refused"));
    log.add(2, state.dropped(start + Duration::from_secs(2), DropReason::QUEUE_FULL, 7, "full"));
    log.add(9, state.succeeded(start + Duration::from_secs(9)));
    insta::assert_snapshot!(log.text());
}

/// *Scenario*: a server that fails and responds in turn, several times a second, for three minutes.
/// *Guarantees*: at most two lines a minute.
#[tokio::test(start_paused = true)]
async fn a_flapping_server_does_not_fill_the_log() {
    let (start, mut state, mut log) = (Instant::now(), ReportState::default(), Log::default());
    for tenth in 0..1800 {
        let now = start + Duration::from_millis(100 * tenth);
        log.add(tenth / 10, state.failed(now, "unavailable"));
        log.add(tenth / 10, state.succeeded(now));
    }
    assert!((3..=7).contains(&log.0.len()), "{}", log.text());
}

/// *Scenario*: a server that responds but refuses every payload permanently, for two minutes, and then the process ends.
/// *Guarantees*: the first drop is reported immediately, later ones once a minute, and the rest at the end. Together the lines count every drop.
#[tokio::test(start_paused = true)]
async fn drops_without_an_outage_are_reported() {
    let (start, mut state, mut log) = (Instant::now(), ReportState::default(), Log::default());
    for second in 0..130 {
        let now = start + Duration::from_secs(second);
        log.add(second, state.dropped(now, DropReason::PERMANENT_ERROR, 3, "HTTP 400"));
    }
    state.finish().into_iter().for_each(|line| log.add(130, Some(line)));
    insta::assert_snapshot!(log.text());
}

/// *Scenario*: a hundred partial successes a second for 70 seconds, with a message of many lines, without a message, and with no rejected items.
/// *Guarantees*: rejected items are reported whatever the message is, immediately and then once a minute; a message without rejected items is a
/// warning of its own kind; the text of the server is one escaped line.
#[tokio::test(start_paused = true)]
async fn partial_success_is_reported_and_throttled() {
    let (start, mut state, mut log) = (Instant::now(), ReportState::default(), Log::default());
    let forged = format!("too old\n2026-11-28 ERROR forged {}", "x".repeat(1000));
    for second in 0..70 {
        let now = start + Duration::from_secs(second);
        for _ in 0..100 {
            log.add(second, state.answered(now, 2, Some(&forged)));
            log.add(second, state.answered(now, 1, None));
            log.add(second, state.answered(now, 0, Some("deprecated endpoint")));
            log.add(second, state.answered(now, 0, None));
        }
    }
    state.finish().into_iter().for_each(|line| log.add(70, Some(line)));
    insta::assert_snapshot!(log.text());
    let count: u64 =
        log.0.iter().map(|(_, line)| if let Line::Rejected { items, .. } = line { *items } else { 0 }).sum();
    assert_eq!(count, 70 * 100 * 3);
}

/// *Scenario*: rejected items without a message, before any other.
/// *Guarantees*: they are reported.
#[tokio::test(start_paused = true)]
async fn rejected_items_without_a_message_are_reported() {
    let line = ReportState::default().answered(Instant::now(), 7, None);
    assert_eq!(line, Some(Line::Rejected { items: 7, message: "none given".to_owned() }));
}
