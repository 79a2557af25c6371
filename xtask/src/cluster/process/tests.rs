use super::Process;
use std::process::Command;
use std::time::Duration;

/// *Scenario*: a process, and an identity with the same pid and another start time. Both are ended.
/// *Guarantees*: the other identity does not count as alive, and to end it does not end the process. The process ends with its own
/// identity.
#[test]
fn a_process_with_a_reused_pid_is_not_ended() {
    let log = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
    let process = Process::spawn("sleep", Command::new("sleep").arg("1000"), &log).unwrap();
    let other = Process { started: process.started + 1, ..process.clone() };
    assert!(process.alive() && !other.alive());
    other.end(Duration::ZERO).unwrap();
    assert!(process.alive(), "it was ended by the record of another process");
    process.end(Duration::from_secs(10)).unwrap();
    assert!(!process.alive());
    let _ = std::fs::remove_file(log);
}
