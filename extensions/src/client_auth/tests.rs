use std::path::Path;
use std::sync::Arc;

use longwave_config::{ConfigPath, Value};
use longwave_pipeline::component::{Authenticator, Health};
use opentelemetry::metrics::{MeterProvider, noop::NoopMeterProvider};
use serde_json::json;

use super::*;

/// Returns the authenticator of a section, or the errors of its check or of its creation.
fn authenticator(
    factory: &ExtensionFactory,
    section: &serde_json::Value,
) -> Result<Arc<dyn Authenticator>, String> {
    let id = factory.about.component_type;
    let section = Value::from_serialize(section).unwrap();
    let path = ConfigPath::from("extensions").child(id);
    let prepared = factory.prepare(&section, &path).map_err(|errors| errors.to_string())?;
    let meter = NoopMeterProvider::new().meter("test");
    let context = ExtensionContext { id: id.to_owned(), meter, health: Health::default() };
    let extension = (prepared.create)(context).map_err(|error| error.to_string())?;
    Ok(extension.authenticator().unwrap())
}

/// Returns the header, or the errors.
fn sent(factory: &ExtensionFactory, section: &serde_json::Value) -> String {
    match authenticator(factory, section) {
        Err(errors) => errors,
        Ok(authenticator) => {
            let value = authenticator.header_value();
            assert!(value.is_sensitive());
            format!("{}: {}", authenticator.header_name(), value.to_str().unwrap())
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// *Scenario*: tokens and user names in every form that the Collector has, also with comments and white space.
/// *Guarantees*: the header is the Collector's.
#[test]
fn headers_are_the_collectors() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "token", "\n  abc the first\nxyz\n");
    for (section, expected) in [
        (json!({"token": "abc"}), "authorization: Bearer abc"),
        (json!({"token": "abc\n"}), "authorization: Bearer abc"),
        (json!({"token": "abc", "scheme": "ApiKey", "header": "X-Key"}), "x-key: ApiKey abc"),
        (json!({"token": "abc", "scheme": ""}), "authorization: abc"),
        (json!({"tokens": ["abc", "xyz"]}), "authorization: Bearer abc"),
        (json!({"filename": file}), "authorization: Bearer abc"),
        (json!({"filename": file, "token": "other"}), "authorization: Bearer abc"),
        (json!({"filename": file, "tokens": ["other"]}), "authorization: Bearer other"),
    ] {
        assert_eq!(sent(&bearer_factory(), &section), expected, "{section}");
    }
    let (user, password) = (write(folder.path(), "user", "ann\n"), write(folder.path(), "password", "s:é\n"));
    for (client, credentials) in [
        (json!({"username": "ann", "password": "s:é"}), "YW5uOnM6w6k="),
        (json!({"username": "ann", "password_file": password}), "YW5uOnM6w6k="),
        (json!({"username_file": user, "password_file": password}), "YW5uOnM6w6k="),
        (json!({"username": "bob", "username_file": user, "password": "s:é"}), "YW5uOnM6w6k="),
        (json!({"username": "ann"}), "YW5uOg=="),
    ] {
        let expected = format!("authorization: Basic {credentials}");
        assert_eq!(sent(&basic_factory(), &json!({"client_auth": client})), expected, "{client}");
    }
}

/// *Scenario*: the file of a token is written again, replaced by a rename, emptied, removed, and then a link to another directory, as
/// Kubernetes mounts secrets; the file of a password is written again.
/// *Guarantees*: the next request has the new credentials. While a file has none, the last ones stay in use.
#[test]
fn a_changed_file_is_used_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let path = write(folder, "token", "one");
    let bearer = authenticator(&bearer_factory(), &json!({"filename": path})).ok().unwrap();
    let is = |token: &str| assert_eq!(bearer.header_value(), format!("Bearer {token}"));
    is("one");
    write(folder, "token", "two");
    is("two");
    std::fs::rename(write(folder, "new", "three"), &path).unwrap();
    is("three");
    write(folder, "token", "");
    is("three");
    std::fs::remove_file(&path).unwrap();
    is("three");
    std::os::unix::fs::symlink(write(folder, "four", "four"), &path).unwrap();
    is("four");

    let password = write(folder, "password", "one");
    let section = json!({"client_auth": {"username": "a", "password_file": password}});
    let basic = authenticator(&basic_factory(), &section).ok().unwrap();
    let first = basic.header_value();
    write(folder, "password", "two");
    assert_ne!(basic.header_value(), first);
    write(folder, "password", "one");
    assert_eq!(basic.header_value(), first);
}

/// *Scenario*: sections without credentials, with contradictions, with values that cannot be sent, and with files that cannot be used.
/// *Guarantees*: the errors name the setting and the remedy, with the Collector's words where it has some, and no secret.
#[test]
fn bad_sections() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let empty = write(folder.path(), "empty", " \n");
    let large = write(folder.path(), "large", &"a".repeat(70_000));
    let line = write(folder.path(), "control", "hunter2\u{1}");
    let colon = write(folder.path(), "colon", "a:b");
    let bearer = [
        json!(null),
        json!({"token": "hunter2", "tokens": ["hunter2"]}),
        json!({"tokens": [""]}),
        json!({"token": "hunter2\u{7f}"}),
        json!({"token": "x", "header": "a b", "scheme": "a\nb"}),
        json!({"token": "x", "header": "Content-Type"}),
        json!({"token": "x", "header": "key-bin"}),
        json!({"token": "x", "file": "y"}),
        json!({"filename": format!("{path}/missing")}),
        json!({"filename": path}),
        json!({"filename": empty}),
        json!({"filename": large}),
        json!({"filename": line}),
    ];
    let basic = [
        json!(null),
        json!({"client_auth": null}),
        json!({"client_auth": {}}),
        json!({"client_auth": {"username": "a:b", "password": "hunter2"}}),
        json!({"client_auth": {"username_file": colon, "password": "hunter2"}}),
        json!({"client_auth": {"username": "a", "password_file": empty}}),
        json!({"htpasswd": {"inline": "a:b"}}),
    ];
    let shown = |factory: ExtensionFactory, sections: &[serde_json::Value]| -> String {
        sections.iter().map(|section| sent(&factory, section) + "\n\n").collect()
    };
    let shown = shown(bearer_factory(), &bearer) + &shown(basic_factory(), &basic);
    assert!(!shown.contains("hunter2"), "{shown}");
    insta::assert_snapshot!("bad_sections", shown.replace(path, "<dir>"));
}

/// *Scenario*: `print-config` shows sections with tokens and a password.
/// *Guarantees*: secrets are redacted.
#[test]
fn effective_settings_hide_secrets() {
    let shown = |factory: ExtensionFactory, section: serde_json::Value| {
        let prepared = factory.prepare(&Value::from_serialize(&section).unwrap(), &ConfigPath::root());
        longwave_config::to_yaml(&prepared.ok().unwrap().effective).unwrap()
    };
    let token = shown(bearer_factory(), json!({"token": "hunter2"}));
    let tokens = shown(bearer_factory(), json!({"tokens": ["hunter2"], "filename": "f"}));
    let basic = shown(basic_factory(), json!({"client_auth": {"username": "ann", "password": "hunter2"}}));
    insta::assert_snapshot!("effective", [token, tokens, basic].join("\n"));
}
