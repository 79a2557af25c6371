use longwave_config::{ConfigPath, Value};

use super::super::factory;

fn problems(yaml: &str) -> String {
    let section: Value =
        Value::from_serialize(&serde_yaml::from_str::<serde_yaml::Value>(yaml).unwrap()).unwrap();
    match factory().prepare(&section, &ConfigPath::root().child("extensions").child("kubernetes")) {
        Ok(_) => "sound".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

/// *Scenario*: settings that contradict each other, misspelt ones, and invalid keys of labels.
/// *Guarantees*: all are reported together, each with its path and a remedy.
#[test]
fn bad_settings_are_explained() {
    insta::assert_snapshot!(problems(
        "{scope: node, node: '', labels: [app, app, 'a b', '/x'], annotations: ['example.com/note', ''] }"
    ));
    insta::assert_snapshot!(problems("{scope: everything}"));
    insta::assert_snapshot!(problems("{node: 'a,spec.x=y', lables: []}"));
}

/// *Scenario*: a section without settings, and one with all settings.
/// *Guarantees*: both are valid.
#[test]
fn sound_settings() {
    assert_eq!(problems("{}"), "sound");
    assert_eq!(
        problems(
            "{kubeconfig: /etc/kube/config, context: main, node: node-1.example, scope: node, services: false, labels: [app.kubernetes.io/version], annotations: [team]}"
        ),
        "sound"
    );
}
