use super::*;

/// *Scenario*: an id without an authenticator.
/// *Guarantees*: the error begins with the Collector's words, and names the id and the remedy.
#[test]
fn unknown_id() {
    let error = Authenticators::default().get("health_check").err().unwrap();
    assert_eq!(
        error.to_string(),
        "requested authenticator is not a client authenticator: extensions::health_check has no credentials (use bearertokenauth or basicauth)"
    );
}
