use super::*;

/// *Scenario*: URLs with and without a user, a password and a query.
/// *Guarantees*: what may be secret is left out.
#[test]
fn credentials_are_left_out() {
    for (url, shown) in [
        ("https://config.example/a.yaml", "https://config.example/a.yaml"),
        ("https://user:p@ss@config.example:8443/a.yaml?token=secret#x", "https://config.example:8443/a.yaml"),
        ("http://token@config.example", "http://config.example"),
        ("http:config.example?token=secret", "http:config.example"),
    ] {
        assert_eq!(without_credentials(url), shown);
    }
}
