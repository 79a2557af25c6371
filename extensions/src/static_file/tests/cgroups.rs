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
