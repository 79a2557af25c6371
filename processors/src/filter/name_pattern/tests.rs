use proptest::prelude::*;

use super::NamePattern;

fn pattern(text: &str) -> NamePattern {
    text.parse().unwrap()
}

/// *Scenario*: patterns with and without wildcards, and unknown names.
/// *Guarantees*: a pattern matches the whole name, in the same case; only `unknown` matches an unknown name.
#[test]
fn patterns_match_whole_names() {
    for (text, name, matches) in [
        ("web", "web", true),
        ("web", "web-1", false),
        ("web", "Web", false),
        ("web-*", "web-", true),
        ("*-web", "shop-web", true),
        ("*a*b", "xaxxab", true),
        ("*a*b", "xaxxabx", false),
        ("w?b", "wéb", true),
        ("w?b", "wb", false),
        ("*", "a", true),
        ("*", "", false),
        ("*", "unknown", false),
        ("unk*", "unknown", false),
        ("unknown", "", true),
        ("unknown", "unknown", true),
        ("unknown", "web", false),
    ] {
        assert_eq!(pattern(text).matches(name), matches, "{text} {name}");
    }
}

/// Tries every text that a `*` can match.
fn by_trying(pattern: &[char], name: &[char]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some(('*', rest)) => (0..=name.len()).any(|skip| by_trying(rest, &name[skip..])),
        Some((wanted, rest)) => name
            .split_first()
            .is_some_and(|(found, name)| (wanted == found || *wanted == '?') && by_trying(rest, name)),
    }
}

proptest! {
    /// *Scenario*: random patterns and names of few characters.
    /// *Guarantees*: the matcher, which only ever goes back to the last `*`, has the same result as trying every possibility.
    #[test]
    fn agrees_with_trying_everything(text in "[ab*?]{1,8}", name in "[ab]{1,10}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(pattern(&text).matches(&name), by_trying(&chars(&text), &chars(&name)));
    }
}
