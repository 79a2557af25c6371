use super::*;

/// *Scenario*: lines of a mount table: a network namespace, one whose path has a space, a pid namespace, a disk, nonsense.
/// *Guarantees*: only the network namespaces are found, under their real paths.
#[test]
fn finds_kept_network_namespaces() {
    let found = |text| {
        let kept = mounts(text).filter(Mount::is_network_namespace);
        kept.map(|mount| mount.point).collect::<Vec<_>>()
    };
    let net = "44 26 0:4 net:[4026532281] /run/netns/a rw shared:7 - nsfs nsfs rw";
    assert_eq!(found(net), [PathBuf::from("/run/netns/a")]);
    let spaced = "44 26 0:4 net:[4026532281] /run/netns/a\\040b rw shared:7 - nsfs nsfs rw";
    assert_eq!(found(spaced), [PathBuf::from("/run/netns/a b")]);
    for other in [
        "44 26 0:4 pid:[4026532281] /run/x rw - nsfs nsfs rw",
        "26 1 254:0 / / rw,relatime - ext4 /dev/root rw",
        "nonsense",
    ] {
        assert!(found(other).is_empty(), "{other}");
    }
}
