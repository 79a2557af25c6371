use super::*;

fn shown(name: &[u8]) -> Option<String> {
    let mut owner = Owner::default();
    owner.name[..name.len()].copy_from_slice(name);
    owner.executable().map(Cow::into_owned)
}

/// *Scenario*: names with bytes that are not UTF-8 at any position, names that the kernel cut within a character, and no name.
/// *Guarantees*: bad bytes become U+FFFD and hide nothing. A character that was cut is left out.
#[test]
fn every_name_is_text() {
    for (name, text) in [
        (&b"nginx"[..], Some("nginx")),
        (b"\xff", Some("\u{fffd}")),
        (b"a\xffb\xfe", Some("a\u{fffd}b\u{fffd}")),
        (b"caf\xc3", Some("caf\u{fffd}")),
        ("сервер-а".as_bytes(), Some("сервер-а")),
        (&"приложение".as_bytes()[..15], Some("приложе")),
        (b"fourteen-bytes\xff", Some("fourteen-bytes\u{fffd}")),
        (b"nul\0rest", Some("nul")),
        (b"", None),
    ] {
        assert_eq!(shown(name).as_deref(), text, "{name:?}");
    }
}
