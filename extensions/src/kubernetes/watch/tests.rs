use http::HeaderMap;

use super::failure::Failure;
use super::failure_log::explain;
use super::lines::LineBuffer;
use super::resource::escape;
use super::*;

/// *Scenario*: lines that come in pieces of every size, with an empty one and one that is not complete.
/// *Guarantees*: each complete line is returned once, in order.
#[test]
fn lines_in_pieces() {
    let text = b"{\"a\":1}\n\n{\"b\":2}\n{\"c\"";
    for size in 1..=text.len() {
        let mut lines = LineBuffer::default();
        let mut found = Vec::new();
        for piece in text.chunks(size) {
            lines.push(piece).unwrap();
            while let Some(line) = lines.next() {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            }
            lines.compact();
        }
        assert_eq!(found, ["{\"a\":1}", "{\"b\":2}"], "pieces of {size}");
    }
    assert!(LineBuffer::default().push(&vec![b'x'; 17 << 20]).is_err());
}

/// *Scenario*: many waits after many failures.
/// *Guarantees*: each wait is between half and one and a half times the doubled time, which is limited. Random waits differ from each
/// other.
#[test]
fn waits() {
    let timing = Timing::default();
    assert_eq!(timing.backoff(0), Duration::ZERO);
    for failures in 1..100u32 {
        let due = timing.backoff.saturating_mul(1 << (failures - 1).min(10)).min(timing.longest_backoff);
        let wait = timing.backoff(failures);
        assert!(wait >= due / 2 && wait <= due * 3 / 2, "{failures}: {wait:?}");
    }
    let spread: std::collections::HashSet<_> = (0..20).map(|_| timing.spread()).collect();
    assert!(spread.len() > 10 && spread.iter().all(|wait| *wait <= timing.spread));
}

/// *Scenario*: responses of an API server and of something else, with and without a demanded wait.
/// *Guarantees*: each failure has the reason under which it is counted, and the demanded wait, which is limited to five minutes.
#[test]
fn failures() {
    let of = |code, after: Option<&str>, text: &str| {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert("retry-after", after.parse().unwrap());
        }
        let failure = Failure::from_status(code, &headers, text.as_bytes());
        assert!(Failure::REASONS.contains(&failure.reason()), "{failure:?}");
        (failure.reason(), failure.retry_after().map(|after| after.as_secs()))
    };
    assert_eq!(of(429, Some("7"), "{}"), ("throttled", Some(7)));
    assert_eq!(of(429, None, r#"{"code":429,"details":{"retryAfterSeconds":3}}"#), ("throttled", Some(3)));
    assert_eq!(of(503, Some("86400"), "<html>"), ("server", Some(300)));
    assert_eq!(of(410, None, ""), ("gone", None));
    assert_eq!(of(504, None, r#"{"code":504,"reason":"Timeout"}"#), ("server", None));
    assert_eq!(of(400, None, r#"{"reason":"Expired"}"#), ("gone", None));
    assert_eq!(
        (of(401, None, ""), of(404, None, ""), of(400, None, "")),
        (("unauthorized", None), ("not_found", None), ("refused", None))
    );
    assert_eq!(
        Failure::from_text(br#"{"code":410,"reason":"Expired","message":"old"}"#),
        Failure::Gone("old".to_owned())
    );
    assert_eq!(Failure::from_text(b"?").reason(), "malformed");
}

/// *Scenario*: every kind of failure, as a user reads it.
/// *Guarantees*: each message has the cause and the remedy. For a missing rule of a ClusterRole it contains the rule.
#[test]
fn messages() {
    let refused = |code| Failure::Status { code, message: "no".to_owned(), after: None };
    let text: Vec<_> = [
        Failure::Unreachable("connection refused".to_owned()),
        Failure::Silent(Duration::from_secs(150)),
        Failure::Malformed("expected value".to_owned()),
        refused(401),
        refused(403),
        refused(404),
        refused(429),
        refused(500),
    ]
    .iter()
    .map(|failure| explain("kubernetes/2", &Resource::endpoint_slices(), failure))
    .collect();
    insta::assert_snapshot!(text.join("\n"));
}

/// *Scenario*: selectors and continue tokens of listings, in a URL.
/// *Guarantees*: no character with a meaning in a URL is left.
#[test]
fn urls() {
    assert_eq!(escape("a-b._~C9"), "a-b._~C9");
    assert_eq!(escape("x!=y,z&é"), "x%21%3Dy%2Cz%26%C3%A9");
    let selector = Resource::pods(Some("node-1")).selector;
    assert_eq!(
        selector,
        "&fieldSelector=spec.nodeName%3Dnode-1%2Cstatus.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"
    );
}
