use longwave_config::GoDuration;

use super::*;

fn sampler(initial: u64, thereafter: u64) -> LogSampler {
    let config = LogSamplingConfig { enabled: true, tick: GoDuration::from_secs(10), initial, thereafter };
    LogSampler::new(&config).unwrap()
}

/// Returns the numbers of the messages that are written, of `count` with the same text.
fn admitted(sampler: &LogSampler, text: &str, count: u64, now: Instant) -> Vec<u64> {
    (1..=count).filter(|_| sampler.admits(LogLevel::Info, text, now)).collect()
}

/// *Scenario*: many messages with one text, with the settings of the Collector's documentation, and without any after the first ones.
/// *Guarantees*: the same messages are written as by the Collector: of 12 after the first 3, each fifth.
#[test]
fn a_text_that_repeats_is_sampled() {
    let now = Instant::now();
    assert_eq!(admitted(&sampler(3, 5), "a", 15, now), [1, 2, 3, 8, 13]);
    assert_eq!(admitted(&sampler(2, 0), "a", 15, now), [1, 2]);
    assert_eq!(admitted(&sampler(0, 4), "a", 9, now), [4, 8]);
    assert_eq!(admitted(&sampler(10, 100), "a", 111, now).len(), 11);
}

/// *Scenario*: other texts, another level, and the next tick.
/// *Guarantees*: each text of each level is counted on its own, and starts again with the tick.
#[test]
fn texts_levels_and_ticks_are_counted_separately() {
    let (sampler, now) = (sampler(1, 0), Instant::now());
    assert!(sampler.admits(LogLevel::Info, "a", now) && !sampler.admits(LogLevel::Info, "a", now));
    assert!(sampler.admits(LogLevel::Info, "b", now));
    assert!(sampler.admits(LogLevel::Warn, "a", now));
    assert!(!sampler.admits(LogLevel::Info, "a", now + Duration::from_millis(9_999)));
    assert!(sampler.admits(LogLevel::Info, "a", now + Duration::from_secs(10)));
}

/// *Scenario*: more different texts in a tick than are counted, and then in the next tick.
/// *Guarantees*: the memory is bounded. A text without a counter is written, and gets one in the next tick.
#[test]
fn the_memory_is_bounded() {
    let (sampler, now) = (sampler(1, 0), Instant::now());
    for number in 0..MAX_MESSAGES + 10 {
        assert!(sampler.admits(LogLevel::Info, &number.to_string(), now));
    }
    assert_eq!(sampler.counters.lock().unwrap().len(), MAX_MESSAGES);
    let last = (MAX_MESSAGES + 9).to_string();
    assert!(sampler.admits(LogLevel::Info, &last, now));
    let next = now + Duration::from_secs(10);
    assert!(sampler.admits(LogLevel::Info, &last, next) && !sampler.admits(LogLevel::Info, &last, next));
    assert_eq!(sampler.counters.lock().unwrap().len(), 1);
}

/// *Scenario*: sampling is switched off.
/// *Guarantees*: there is no sampler.
#[test]
fn sampling_can_be_off() {
    let off = LogSamplingConfig { enabled: false, ..LogSamplingConfig::default() };
    assert!(LogSampler::new(&off).is_none());
}
