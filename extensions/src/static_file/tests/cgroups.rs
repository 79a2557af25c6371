use proptest::prelude::*;

use super::super::pattern::Pattern;
use super::{directory, name_in};

/// *Scenario*: patterns that match the same cgroup, with and without wildcards.
/// *Guarantees*: the pattern with more literal characters wins, and among equals the one without wildcards. A rule also applies to the
/// cgroups below the one that it matches.
#[test]
fn the_most_specific_pattern_wins() {
    let directory = directory(
        r#"
rules:
  - {cgroups: [/system.slice/**], workload: {name: some unit}}
  - {cgroups: ["/system.slice/postgresql@*.service"], workload: {name: postgres}}
  - {cgroups: [/system.slice/postgresql@15-main.service], workload: {name: postgres 15}}
  - {cgroups: ["/user.slice/user-?.slice"], workload: {name: one digit}}
  - {cgroups: [/**/nginx.service], workload: {name: nginx}}
  - {cgroups: [/lab], workload: {name: lab}}
"#,
    );
    for (path, name) in [
        ("/system.slice/cron.service", "some unit"),
        ("/system.slice/postgresql@14-main.service", "postgres"),
        ("/system.slice/postgresql@15-main.service", "postgres 15"),
        ("/system.slice/postgresql@15-main.service/worker/1", "postgres 15"),
        ("/system.slice/postgresql@15-main.serviceX", "some unit"),
        ("/user.slice/user-1.slice/user@1.service", "one digit"),
        ("/user.slice/user-10.slice", "-"),
        ("/nginx.service", "nginx"),
        ("/a/b/nginx.service/x", "nginx"),
        ("/a/b/mynginx.service", "-"),
        ("/lab", "lab"),
        ("/lab/", "lab"),
        ("/laboratory", "-"),
        ("/", "-"),
        ("", "-"),
    ] {
        assert_eq!(name_in(&directory, path), name, "{path}");
    }
}

/// Matches by trying every possibility: the rest of the pattern may match the rest of the path.
fn naive(pattern: &[u8], path: &[u8]) -> bool {
    if pattern.starts_with(b"/**/") {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        return path.first() == Some(&b'/')
            && slashes.map(|(at, _)| at + 1).any(|next| naive(&pattern[4..], &path[next..]));
    }
    if pattern.starts_with(b"**") {
        let length = pattern.iter().take_while(|byte| **byte == b'*').count();
        return (0..=path.len()).any(|next| naive(&pattern[length..], &path[next..]));
    }
    match (pattern.first(), path.first()) {
        (None, None | Some(b'/')) => true,
        (None, _) => false,
        (Some(b'*'), _) => {
            let part = path.iter().take_while(|byte| **byte != b'/').count();
            (0..=part).any(|next| naive(&pattern[1..], &path[next..]))
        }
        (Some(b'?'), Some(byte)) => *byte != b'/' && naive(&pattern[1..], &path[1..]),
        (Some(own), Some(byte)) => own == byte && naive(&pattern[1..], &path[1..]),
        (Some(_), None) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    /// *Scenario*: any short pattern of few different characters, and any path.
    /// *Guarantees*: the matcher, which never tries a wildcard twice at one position, has the same result as trying every possibility.
    #[test]
    fn patterns_match_as_by_trying_everything(pattern in "/[ab/*?]{0,10}", path in "(/[ab]{1,3}){0,5}") {
        let parsed: Pattern = pattern.parse().unwrap();
        let trimmed = pattern.trim_end_matches('/');
        prop_assert_eq!(parsed.matches(&path), naive(trimmed.as_bytes(), path.as_bytes()), "{} {}", pattern, path);
    }
}
