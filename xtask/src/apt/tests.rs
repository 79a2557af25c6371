use super::source;

/// *Scenario*: a release's suite and its security suite.
/// *Guarantees*: each comes from the archive that has it, and both must be signed by Debian.
#[test]
fn security_suites_have_an_archive_of_their_own() {
    for (suite, path) in [("sid", "debian sid"), ("bullseye-security", "debian-security bullseye-security")] {
        let line = source(suite);
        assert!(line.contains(&format!("deb.debian.org/{path} main\n")), "{line}");
        assert!(line.starts_with("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg "), "{line}");
    }
}
