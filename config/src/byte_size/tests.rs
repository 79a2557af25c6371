use super::*;

/// *Scenario*: sizes with binary, decimal and Kubernetes units, fractions, spaces.
/// *Guarantees*: each parses to the exact number of bytes, and prints in the largest unit that needs no fraction.
#[test]
fn sizes() {
    let cases = [
        ("0", 0, "0"),
        ("4096", 4096, "4KiB"),
        ("64MiB", 64 << 20, "64MiB"),
        ("512KiB", 512 << 10, "512KiB"),
        ("1GB", 1_000_000_000, "1GB"),
        ("1.5GiB", 3 << 29, "1536MiB"),
        ("2Gi", 2 << 30, "2GiB"),
        ("10 kB", 10_000, "10kB"),
        ("7B", 7, "7"),
        ("64mib", 64 << 20, "64MiB"),
        ("18446744073709551615", u64::MAX, "18446744073709551615"),
    ];
    for (written, bytes, printed) in cases {
        assert_eq!(written.parse(), Ok(ByteSize(bytes)), "{written}");
        assert_eq!(ByteSize(bytes).to_string(), printed);
    }
}

/// *Scenario*: strings that are not sizes.
/// *Guarantees*: each is refused, and the error names the valid units.
#[test]
fn refused() {
    let cases = [
        ("", "invalid size"),
        ("MiB", "invalid size"),
        ("64M", "ambiguous"),
        ("64m", "MB for powers of 1000"),
        ("5 bytes", "unknown unit"),
        ("-1", "negative"),
        ("1.5", "invalid size"),
        ("1.KiB", "invalid size"),
        (".5KiB", "invalid size"),
        ("1.2.3KiB", "invalid size"),
        ("18446744073709551616", "too large"),
        ("99999999TiB", "too large"),
        ("1e3", "unknown unit"),
    ];
    for (written, expected) in cases {
        let error = written.parse::<ByteSize>().unwrap_err().to_string();
        assert!(error.contains(expected), "{written}: {error}");
    }
}
