use super::*;

fn rules(variables: &[(&str, &str)]) -> Result<ProxyRules, String> {
    ProxyRules::read(|name| {
        variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

/// *Scenario*: the variables in upper and lower case, with and without a scheme, for targets with and without TLS.
/// *Guarantees*: each scheme has its own variable; upper case counts if both are set; there is no proxy for `localhost` and loopback addresses.
#[test]
fn each_scheme_has_its_variable() {
    let rules = rules(&[
        ("HTTP_PROXY", "plain:1"),
        ("http_proxy", "other:1"),
        ("https_proxy", "http://u:p@secure:2"),
    ])
    .unwrap();
    let shown = |tls, host| rules.proxy(tls, host, 4318).map(ToString::to_string);
    assert_eq!(shown(false, "c").as_deref(), Some("http://plain:1/"));
    assert_eq!(shown(true, "c").as_deref(), Some("http://u:p@secure:2/"));
    for local in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"] {
        assert_eq!((shown(false, local), shown(true, local)), (None, None), "{local}");
    }
    assert!(self::rules(&[]).unwrap().proxy(true, "c", 1).is_none());
}

/// *Scenario*: every form of an element of `NO_PROXY` that Go documents, and malformed ones.
/// *Guarantees*: names match with those below them, `.name` only those below, a port only itself, addresses and networks only addresses.
#[test]
fn elements_of_no_proxy() {
    let is_direct = |no_proxy: &str, host: &str, port: u16| {
        let rules = rules(&[("HTTP_PROXY", "p:1"), ("NO_PROXY", no_proxy)]).unwrap();
        rules.proxy(false, host, port).is_none()
    };
    for (no_proxy, host, port, expected) in [
        ("example.com", "example.com", 80, true),
        ("example.com", "Foo.Example.com.", 80, true),
        ("example.com", "notexample.com", 80, false),
        (".example.com", "example.com", 80, false),
        (".example.com", "foo.example.com", 80, true),
        ("*.example.com", "foo.example.com", 80, true),
        ("*.example.com", "example.com", 80, false),
        ("example.com:4318", "example.com", 4318, true),
        ("example.com:4318", "example.com", 80, false),
        ("10.0.0.0/8", "10.1.2.3", 80, true),
        ("10.0.0.0/8", "11.1.2.3", 80, false),
        ("10.0.0.0/8", "ten.example", 80, false),
        ("192.0.2.1", "192.0.2.1", 80, true),
        ("192.0.2.1:81", "192.0.2.1", 80, false),
        ("fd00::/8", "fd00::7", 80, true),
        ("[fd00::7]:80", "[fd00::7]", 80, true),
        ("a.b , ,c.d", "c.d", 80, true),
        ("*", "anything", 80, true),
        ("x:y,/,.", "x", 80, false),
        ("svc", "collector.svc", 80, true),
    ] {
        assert_eq!(is_direct(no_proxy, host, port), expected, "{no_proxy} {host}:{port}");
    }
}

/// *Scenario*: a variable with a password that is not a URL, and one with a kind of proxy that is not supported.
/// *Guarantees*: the error names the variable and leaves out the value.
#[test]
fn unusable_proxies() {
    let errors = ["http://u:hunter2@[x", "socks5://u:hunter2@p:1"]
        .map(|value| rules(&[("HTTPS_PROXY", value)]).unwrap_err());
    assert!(
        errors.iter().all(|error| error.contains("HTTPS_PROXY") && !error.contains("hunter2")),
        "{errors:?}"
    );
    insta::assert_snapshot!(errors.join("\n"));
}
