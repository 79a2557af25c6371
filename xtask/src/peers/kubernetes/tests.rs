use super::go_mod;

/// *Scenario*: a go.mod with all kinds of lines of Kubernetes' go.mod: staging modules, a module that only looks like one, others.
/// *Guarantees*: staging modules become the published ones, Kubernetes itself is required once, and the other lines do not change.
#[test]
fn staging_modules_become_published_ones() {
    let original = "module k8s.io/kubernetes\n\ngo 1.24.0\n\nrequire (\n\tk8s.io/api v0.0.0\n\
                    \tk8s.io/utils v0.0.0-2025 // indirect\n)\n\nrequire (\n\ta.b/c v1.0.0 // indirect\n)\n\n\
                    replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\n";
    let expected = "module longwave.test/kubernetes\n\ngo 1.24.0\n\nrequire (\n\tk8s.io/kubernetes v1.34.4\n\
                    \tk8s.io/api v0.34.4\n\tk8s.io/utils v0.0.0-2025 // indirect\n)\n\nrequire (\n\
                    \ta.b/c v1.0.0 // indirect\n)\n\nreplace (\n\tk8s.io/api => k8s.io/api v0.34.4\n)\n";
    assert_eq!(go_mod(original), expected);
}
