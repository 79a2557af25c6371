use super::Process;
use std::process::Command;
use std::time::Duration;

/// *Scenario*: a recorded process is ended, and another record has its pid with another start time.
/// *Guarantees*: the first ends; the process of the other record neither counts as alive nor is ended.
#[test]
fn only_the_recorded_process_is_ended() {
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
