use super::*;

/// *Scenario*: durations as Go's own tests write them.
/// *Guarantees*: the same values, printed as Go prints them.
#[test]
fn as_go_reads_and_prints() {
    let cases = [
        ("0", "0s"),
        ("5s", "5s"),
        ("+5s", "5s"),
        ("-0", "0s"),
        ("-0s", "0s"),
        ("1478s", "24m38s"),
        ("5.s", "5s"),
        (".5s", "500ms"),
        ("1.0s", "1s"),
        ("1.004s", "1.004s"),
        ("100.00100s", "1m40.001s"),
        ("10ns", "10ns"),
        ("11us", "11µs"),
        ("12µs", "12µs"),
        ("12μs", "12µs"),
        ("300µs", "300µs"),
        ("13ms", "13ms"),
        ("1m30s", "1m30s"),
        ("3h30m", "3h30m0s"),
        ("10.5s4m", "4m10.5s"),
        ("1h2m3s4ms5us6ns", "1h2m3.004005006s"),
        ("1.5h", "1h30m0s"),
        ("52763797000ns", "52.763797s"),
        ("9223372036854775807ns", "2562047h47m16.854775807s"),
        ("0.000000000000000000001h", "0s"),
        ("1500ms", "1.5s"),
    ];
    for (written, printed) in cases {
        assert_eq!(written.parse::<GoDuration>().map(|d| d.to_string()).as_deref(), Ok(printed), "{written}");
    }
}

/// *Scenario*: what is no duration, or not one that Longwave wants.
/// *Guarantees*: refused, with Go's words.
#[test]
fn refused() {
    let cases = [
        ("", "invalid duration"),
        ("3", "missing unit"),
        ("-", "invalid duration"),
        ("s", "invalid duration"),
        (".", "invalid duration"),
        (".s", "invalid duration"),
        ("1.2.3s", "invalid duration"),
        ("1d", "unknown unit \"d\""),
        ("-1s", "must not be negative"),
        ("9223372036854775808ns", "292 years"),
        ("3000000h", "292 years"),
        ("99999999999999999999s", "292 years"),
        ("1s ", "unknown unit"),
        ("1 s", "unknown unit"),
        ("5S", "unknown unit"),
    ];
    for (written, answer) in cases {
        let error = written.parse::<GoDuration>().unwrap_err().to_string();
        assert!(error.contains(answer), "{written}: {error}");
    }
}
