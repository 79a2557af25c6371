use super::one_line;

/// *Scenario*: texts with line breaks, terminal sequences, marks of direction, and more than 200 characters.
/// *Guarantees*: the result is one line of at most 200 characters and the mark of an omission. Ordinary text, also outside ASCII, is unchanged.
#[test]
fn texts_cannot_forge_lines() {
    assert_eq!(one_line(" zu groß: größer als 4 MiB\n"), "zu groß: größer als 4 MiB");
    assert_eq!(one_line("bad\n2026-11-28 WARN fake\r\u{1b}[31m"), "bad\\n2026-11-28 WARN fake\\r\\u{1b}[31m");
    assert_eq!(one_line("a\u{2028}b\u{202e}c\u{85}d"), "a\\u{2028}b\\u{202e}c\\u{85}d");
    for text in ["ä".repeat(10_000), "\n\u{1b}x".repeat(10_000), "x\n".repeat(101)] {
        let line = one_line(&text);
        assert!(line.chars().count() <= 201 && line.ends_with('…'), "{line}");
        assert!(!line.chars().any(char::is_control), "{line}");
    }
    assert_eq!(one_line(&"x".repeat(200)), "x".repeat(200));
}
