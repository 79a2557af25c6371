use super::*;

/// *Scenario*: every character.
/// *Guarantees*: the table of format characters is in order and without overlaps. What is escaped shows in ASCII, and what is not escaped
/// is unchanged.
#[test]
fn every_character_is_shown_or_escaped() {
    assert!(FORMAT.is_sorted_by(|(_, last), (first, _)| last < first));
    assert!(FORMAT.iter().all(|(first, last)| first <= last));
    for character in '\0'..=char::MAX {
        let (text, mut shown) = (character.to_string(), String::new());
        put(character, &mut shown).unwrap();
        if must_be_escaped(character) {
            assert!(shown.starts_with('\\') && shown.chars().all(|c| c.is_ascii_graphic()), "{shown:?}");
        } else {
            assert_eq!(shown, text);
        }
    }
}

/// *Scenario*: names with control characters of both ranges, bidirectional overrides, zero-width characters, tags, and replaced bytes;
/// names of other scripts.
/// *Guarantees*: the former are escaped, each as itself; the latter are unchanged.
#[test]
fn names_show_all_their_characters() {
    for (name, shown) in [
        ("nginx\u{202e}gnp", "nginx\\u{202e}gnp"),
        ("a\u{200b}b\u{200d}c\u{feff}", "a\\u{200b}b\\u{200d}c\\u{feff}"),
        ("\u{9b}2J\u{7f}\u{1b}[2J", "\\u{9b}2J\\u{7f}\\u{1b}[2J"),
        ("line\n\u{2028}\t", "line\\n\\u{2028}\\t"),
        ("soft\u{ad}hyphen\u{2066}x\u{2069}\u{e0041}", "soft\\u{ad}hyphen\\u{2066}x\\u{2069}\\u{e0041}"),
        ("bad\u{fffd}", "bad\u{fffd}"),
        ("東京 café e\u{301} אבג 🦀", "東京 café e\u{301} אבג 🦀"),
    ] {
        assert_eq!(Visible(name).to_string(), shown);
    }
}
