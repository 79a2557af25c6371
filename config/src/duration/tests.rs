use super::*;

/// *Scenario*: the durations of Go's own tests.
/// *Guarantees*: they have the same values as in Go, and print as in Go.
#[test]
fn parsed_and_printed_as_in_go() {
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

/// *Scenario*: strings that are not durations, and durations that Longwave does not accept.
/// *Guarantees*: each is refused with Go's message.
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
    for (written, expected) in cases {
        let error = written.parse::<GoDuration>().unwrap_err().to_string();
        assert!(error.contains(expected), "{written}: {error}");
    }
}
