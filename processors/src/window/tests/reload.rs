use super::*;
use crate::window::boundaries::Boundaries;

/// Sends a batch to a processor, or ends its input. Returns the windows.
fn run(processor: &mut WindowProcessor, batch: Option<Batch>) -> Vec<Arc<Window>> {
    let mut out = Vec::new();
    match batch {
        Some(batch) => processor.process(batch, &mut out).unwrap(),
        None => processor.finish(&mut out).unwrap(),
    }
    let windows = out.into_iter().map(|batch| match batch {
        Batch::Window(window) => window,
        other => panic!("not a window: {other:?}"),
    });
    windows.collect()
}

/// *Scenario*: a reload replaces the processor within a window that ends in the future. One connection was opened before, has no record in the
/// rest of the window of the former processor, and then has one; another is opened afterwards. Then the input ends with a last watermark.
/// *Guarantees*: the former processor's window ends at the reload, with all its series; they end there. The next processor's window follows without
/// a gap. Each connection is opened once. The last watermark ends no series, because no processor follows.
#[test]
fn a_reload_divides_a_window() {
    const HOUR: u64 = 3600;
    let config = WindowConfig { interval: GoDuration::from_secs(HOUR), ..config(&[Level::Workload]) };
    let (context, _) = crate::testing::context("window", "metrics", true);
    let processor = || WindowProcessor::new(&config, &context);
    let (mut former, mut next) = (processor(), processor());
    let boundaries = Boundaries::every(HOUR * 1_000_000_000);
    let before = UnixNanos::now();
    let (start, end) = (boundaries.floor(before), boundaries.after(before));
    let record = |cookie, event, opened, bytes| {
        let record = ConnectionRecord { event, opened, tick: end, ..update(cookie, 0.0, bytes) };
        Some(Batch::records(vec![record]))
    };

    assert_eq!(run(&mut former, record(1, Event::Open, before, 5)), []);
    let windows = run(&mut former, None);
    assert_eq!((windows.len(), run(&mut former, None)), (1, vec![]));
    let reload = windows[0].end;
    assert!(windows[0].start == start && before <= reload && reload < end, "{:?}", windows[0]);
    let [workload] = windows[0].series.as_slice() else { panic!("{:?}", windows[0]) };
    assert_eq!((workload.measures.opened, workload.measures.active, workload.ended), (1, 1, true));

    assert_eq!(run(&mut next, record(1, Event::Update, before, 7)), []);
    assert_eq!(run(&mut next, record(2, Event::Open, end, 9)), []);
    let windows = run(&mut next, Some(Batch::PassEnd(PassEnd { tick: end, last: true })));
    assert_eq!((windows[0].start, windows[0].end, windows.len()), (reload, end, 1));
    let workload = windows[0].series.iter().find(|series| series.level == Level::Workload).unwrap();
    assert_eq!((workload.measures.opened, workload.measures.active), (1, 2));
    assert_eq!((workload.measures.totals.sent_bytes, workload.created, workload.ended), (16, reload, false));
    assert_eq!(run(&mut next, None), []);
}
