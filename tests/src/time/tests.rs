use super::unix_nanos;

/// *Scenario*: times with and without a fraction.
/// *Guarantees*: they are parsed to the nanosecond.
#[test]
fn reads_nanoseconds() {
    assert_eq!(unix_nanos("1970-01-01T00:00:00Z"), Some(0));
    assert_eq!(unix_nanos("2000-02-29T12:00:00.5Z"), Some(951_825_600_500_000_000));
    assert_eq!(unix_nanos("2026-11-21T00:00:00.000000007Z"), Some(1_795_219_200_000_000_007));
    assert_eq!(unix_nanos("yesterday"), None);
}
