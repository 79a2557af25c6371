//! `longwave check` reports what the receiver needs, and agrees with it.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use longwave_testing::{gate, harness, tests};
use longwave_tests::check::check;
use longwave_tests::longwave::{Options, command, write_config};
use longwave_tests::{Family, Longwave, Network, config};
use object::{Object, ObjectSection};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

/// A simulated host, and whether Longwave can run on it.
struct Host {
    name: &'static str,
    wrapper: Vec<String>,
    can_run: bool,
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// *Scenario*: this host, this host without capabilities, and this host without BTF.
/// *Guarantees*: `check` succeeds if and only if the receiver starts. If not, it prints the error of the receiver.
fn check_says_what_the_receiver_does() {
    let _turn = gate::privileged();
    let hidden = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    let hosts = [
        Host { name: "as it is", wrapper: Vec::new(), can_run: true },
        Host {
            name: "without capabilities",
            wrapper: words(&["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]),
            can_run: false,
        },
        Host {
            name: "without the kernel's types",
            wrapper: words(&["unshare", "--mount", "sh", "-c", hidden, "sh"]),
            can_run: false,
        },
    ];
    for Host { name, wrapper, can_run } in hosts {
        let (text, succeeds) = check(&wrapper);
        assert_eq!(succeeds, can_run, "{name}:\n{text}");
        if can_run {
            for step in ["loading `state_again`", "loading `sample`", "running `sample`", "attaching `state`"]
            {
                let line = text.lines().find(|line| line.contains(step));
                assert!(line.is_some_and(|line| line.starts_with("ok ")), "{step}:\n{text}");
            }
            let options = Options { wrapper, ..Options::default() };
            Longwave::start_with(config::logs(json!({"interval": "1s"})), options).stop();
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = write_config(folder.path(), &config::logs(json!({"interval": "1s"})));
        let output = command(&wrapper).arg("--config").arg(path).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name}: it ran");
        let (_, reason) = stderr.split_once("receivers::bpf: ").unwrap_or_else(|| panic!("{name}: {stderr}"));
        let reason = reason.split(": ").next().unwrap();
        assert!(text.contains(reason), "{name}: {reason:?} is not in\n{text}");
    }
}

/// Returns the BPF object with invalid programs in these sections, which no kernel accepts.
fn object_without(sections: &[&str], folder: &Path) -> PathBuf {
    const INSTRUCTION: usize = 8;
    const EXIT: u8 = 0x95;
    const NONE: u8 = 0xff;
    let path = std::env::var_os("LONGWAVE_BPF_OBJECT").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../ebpf/object/longwave.bpf.o"),
        PathBuf::from,
    );
    let mut bytes = std::fs::read(path).unwrap();
    for name in sections {
        let range = {
            let object = object::File::parse(&*bytes).unwrap();
            let (start, length) = object.section_by_name(name).unwrap().file_range().unwrap();
            usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap()
        };
        let mut instructions = bytes[range].chunks_exact_mut(INSTRUCTION);
        instructions.find(|instruction| instruction[0] == EXIT).unwrap()[0] = NONE;
    }
    let invalid = folder.join("spoilt.o");
    std::fs::write(&invalid, bytes).unwrap();
    invalid
}

/// *Scenario*: a kernel that refuses both programs that find older connections. One connection is older than Longwave, another is not.
/// *Guarantees*: `check` succeeds and reports both programs as degraded. Longwave runs, logs a warning for each, counts them as failures,
/// and reports only the new connection.
fn without_the_walks_only_older_connections_are_lost() {
    let _turn = gate::privileged();
    let folder = tempfile::tempdir().unwrap();
    let object = object_without(&["iter/task_file", "iter/tcp"], folder.path());
    let wrapper = words(&["env", &format!("LONGWAVE_BPF_OBJECT={}", object.display())]);
    let (text, succeeds) = check(&wrapper);
    assert!(succeeds, "{text}");
    for program in ["seed_files", "seed_namespace"] {
        let line = text.lines().find(|line| line.contains(&format!("loading `{program}`")));
        assert!(line.is_some_and(|line| line.starts_with("degraded ")), "{program}:\n{text}");
    }

    let network = Network::loopback(Family::V4);
    let (older, _older_peer) = network.pair().unwrap();
    let options = Options { wrapper, ..Options::default() };
    let longwave = Longwave::start_with(config::logs(json!({"interval": "1s"})), options);
    let (new, _new_peer) = network.pair().unwrap();
    let new = new.close().cookie;
    assert!(longwave.await_finals(&[(new, 1)], LIMIT), "the new connection is missing");
    longwave.await_stderr("older connections may be missing: loading `seed_files`", LIMIT);
    longwave.await_stderr("older connections may be missing: loading `seed_namespace`", LIMIT);
    let failures = longwave.telemetry().sum("longwave_receiver_seed_failures", &[]);
    assert_eq!(failures, 2);
    let finished = longwave.stop();
    let older = older.account().cookie;
    assert!(finished.records.iter().all(|record| record.cookie() != older), "an older connection was found");
}

fn main() -> ExitCode {
    harness::run(
        tests![check_says_what_the_receiver_does, without_the_walks_only_older_connections_are_lost,],
    )
}
