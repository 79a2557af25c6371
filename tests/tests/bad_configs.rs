//! Messages and exit codes of the binary for bad configurations, and on hosts that do not meet its requirements.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use longwave_testing::{gate, harness, tests};
use longwave_tests::config;
use longwave_tests::longwave::{READY, command, write_config};
use serde_json::{Value, json};
use tempfile::TempDir;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bad_configs");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Formats exit code, stdout and stderr of a run. Replaces the path of the configuration, which differs between machines.
fn shown(output: &Output, config: &Path) -> String {
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&config.display().to_string(), "<config>");
    format!(
        "exit code: {}\nstdout:\n{}\nstderr:\n{}",
        output.status.code().map_or_else(|| "killed".to_owned(), |code| code.to_string()),
        text(&output.stdout),
        text(&output.stderr)
    )
}

/// *Scenario*: `validate` with more than thirty configurations. Each has a typical mistake, and some have several.
/// *Guarantees*: each is refused with a non-zero exit code and the message in its snapshot. Nothing is printed on stdout.
fn bad_configurations_say_what_is_wrong() {
    let files = fixtures();
    assert!(files.len() >= 30);
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let output =
            command(&[]).arg("validate").arg("--config").arg(&file).stdin(Stdio::null()).output().unwrap();
        if output.status.success() || !output.stdout.is_empty() || output.status.code() == Some(101) {
            wrong.push(format!("{name}: {}", shown(&output, &file)));
            continue;
        }
        insta::assert_snapshot!(name, shown(&output, &file));
    }
    assert!(wrong.is_empty(), "accepted, or panicked:\n{}", wrong.join("\n\n"));
}

/// *Scenario*: `run` instead of `validate`, with one of the bad files.
/// *Guarantees*: `run` refuses it with the same message, before anything starts.
fn run_refuses_what_validate_refuses() {
    let file = fixtures().into_iter().find(|file| file.ends_with("several_at_once.yaml")).unwrap();
    let of = |verb: &str| {
        let output = command(&[]).arg(verb).arg("--config").arg(&file).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, stderr) = of("run");
    assert_eq!(of("validate"), (code, stderr.clone()));
    assert_ne!(code, Some(0));
    assert!(!stderr.contains(READY));
}

/// Runs a good configuration under `shell` (a script in which `"$@"` is the binary) and returns the output.
fn run_where(shell: &str) -> Output {
    let folder = TempDir::new().unwrap();
    // The user to which the script switches must be able to read the configuration.
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let config = config::merged(
        config::logs(json!({"interval": "1s"})),
        json!({"service": {"telemetry": {"metrics": {"level": "none"}}}}),
    );
    let path = write_config(folder.path(), &config);
    let longwave = command(&[]);
    let binary = reachable_copy(Path::new(longwave.get_program()), folder.path());
    // The binary must not run. If it does, `timeout` ends it, and the assertion fails.
    Command::new("timeout")
        .args(["--signal=TERM", "30", "sh", "-ec", shell, "sh"])
        .arg(binary)
        .args(["run", "--config"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Copies the binary to a folder in which any user can execute it.
fn reachable_copy(binary: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("longwave");
    // `cp` is another process. A child that another test starts meanwhile would inherit a file that is open here, and the copy would be busy.
    assert!(Command::new("cp").args([binary, &copy]).status().unwrap().success());
    copy
}

fn assert_says(output: &Output, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it ran:\n{stderr}");
    assert_ne!(output.status.code(), Some(101), "it panicked:\n{stderr}");
    assert_ne!(output.status.code(), Some(124), "it never ended by itself:\n{stderr}");
    assert!(output.stdout.is_empty(), "on stdout: {}", String::from_utf8_lossy(&output.stdout));
    for word in words {
        assert!(stderr.contains(word), "stderr does not say {word:?}:\n{stderr}");
    }
}

/// *Scenario*: `run` as an ordinary user (`nobody`).
/// *Guarantees*: the error names the missing capabilities and how to grant them. The exit code is not zero.
fn without_privileges() {
    let _turn = gate::privileged();
    let output = run_where(r#"exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs "$@""#);
    assert_says(&output, &["CAP_BPF", "CAP_PERFMON", "root"]);
}

/// *Scenario*: `run` as root without `CAP_BPF`, and without `CAP_PERFMON`.
/// *Guarantees*: the error names the missing capability.
fn without_one_capability() {
    let _turn = gate::privileged();
    // CAP_SYS_ADMIN implies the others, so it is removed as well.
    for (dropped, name) in [("-bpf,-sys_admin", "CAP_BPF"), ("-perfmon,-sys_admin", "CAP_PERFMON")] {
        let output =
            run_where(&format!(r#"exec setpriv --bounding-set {dropped} --inh-caps {dropped} "$@""#));
        assert_says(&output, &[name]);
    }
}

/// *Scenario*: `run` with an empty /sys/kernel/btf (a mount in a mount namespace).
/// *Guarantees*: the error says that BTF is missing, and which kernel option adds it.
fn without_btf() {
    let _turn = gate::privileged();
    let output =
        run_where(r#"exec unshare --mount sh -ec 'mount -t tmpfs none /sys/kernel/btf; exec "$@"' sh "$@""#);
    assert_says(&output, &["BTF", "/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"]);
}

/// *Scenario*: `run` where a process may have 16, 24 or 32 descriptors, too few for the maps and programs.
/// *Guarantees*: the error says that the limit is too low and how to raise it. It blames neither the kernel nor its BTF.
fn with_few_descriptors() {
    let _turn = gate::privileged();
    for limit in [16, 24, 32] {
        let output = run_where(&format!(r#"ulimit -n {limit}; exec "$@""#));
        assert_says(&output, &["open files", "LimitNOFILE"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !stderr.contains("does not accept the program") && !stderr.contains("without BTF"),
            "{stderr}"
        );
    }
}

/// *Scenario*: no cgroup2 is mounted. `run` with a `cgroup` scope, and with workloads that are named by cgroup.
/// *Guarantees*: the error says that cgroup2 is missing, and what to mount.
fn without_cgroup2() {
    let _turn = gate::privileged();
    let quiet = json!({"service": {"telemetry": {"metrics": {"level": "none"}}}});
    let scoped = config::logs(json!({"interval": "1s", "cgroup": "/longwave-test"}));
    let naming = config::merged(
        config::logs(json!({"interval": "1s"})),
        json!({"processors": {"workload": null}, "service": {"pipelines": {"logs": {"processors": ["workload"]}}}}),
    );
    for config in [scoped, naming] {
        let output = run_without_cgroup2(&config::merged(config, quiet.clone()));
        assert_says(&output, &["cgroup2", "mount"]);
    }
}

fn run_without_cgroup2(config: &Value) -> Output {
    let folder = TempDir::new().unwrap();
    let path = write_config(folder.path(), config);
    let script = r#"
        for target in $(awk '$3 == "cgroup2" { print $2 }' /proc/mounts); do umount -l "$target"; done
        exec "$@"
    "#;
    Command::new("timeout")
        .args(["--signal=TERM", "30", "unshare", "--mount", "sh", "-ec", script, "sh"])
        .arg(command(&[]).get_program())
        .args(["run", "--config"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn main() -> ExitCode {
    harness::run(tests![
        bad_configurations_say_what_is_wrong,
        run_refuses_what_validate_refuses,
        without_privileges,
        without_one_capability,
        without_btf,
        with_few_descriptors,
        without_cgroup2,
    ])
}
