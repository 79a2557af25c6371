use super::*;

/// *Scenario*: names with and without a namespace, unknown ones, and one with a character that would change the terminal.
/// *Guarantees*: only what is known is shown, escaped.
#[test]
fn only_what_is_known_is_shown() {
    let of = |name, namespace| qualified(name, namespace).unwrap_or_default();
    assert_eq!(of("web", "shop"), "web.shop");
    assert_eq!((of("web", ""), of("web", UNKNOWN)), ("web".to_owned(), "web".to_owned()));
    assert_eq!((qualified("", "shop"), qualified(UNKNOWN, "shop")), (None, None));
    assert_eq!(of("w\x1beb", "shop"), format!("{}.shop", Visible("w\x1beb")));
}

/// *Scenario*: a service with the name of the destination, another one, and none.
/// *Guarantees*: only the other one is shown beside the destination.
#[test]
fn a_service_is_not_shown_twice() {
    let beside = |service: Option<&str>| service_beside(service.map(str::to_owned), "db.shop");
    assert_eq!(
        [beside(Some("db.shop")), beside(Some("postgres.shop")), beside(None)],
        ["", "postgres.shop", ""]
    );
}
