use std::sync::mpsc;

use super::*;

/// Watches a guest that prints these lines and ends.
fn watched(lines: &[&str]) -> Result<Ended> {
    let (sender, receiver) = mpsc::channel();
    lines.iter().for_each(|line| sender.send((*line).to_owned()).unwrap());
    drop(sender);
    let log = std::env::temp_dir().join(format!("longwave-machine-{}-{}", std::process::id(), lines.len()));
    let job = Job {
        timeout: Duration::from_secs(60),
        files: Vec::new(),
        env: Vec::new(),
        command: Vec::new(),
        log: log.clone(),
    };
    let ended = watch(&receiver, &job, Instant::now()).context("the console");
    let _ = fs::remove_file(log);
    ended
}

/// *Scenario*: a guest ends before its init ran, after its init ran, and with an exit code.
/// *Guarantees*: only in the first case it is started again.
#[test]
fn only_a_guest_that_did_not_boot_starts_again() {
    let is_to_start_again = |lines: &[&str]| watched(lines).err().map(|error| error.is::<DiedAtBoot>());
    assert_eq!(is_to_start_again(&[]), Some(true));
    assert_eq!(is_to_start_again(&["LONGWAVE_VM_BOOTED=", "test a ... ok"]), Some(false));
    assert_eq!(is_to_start_again(&["LONGWAVE_VM_BOOTED=", "test a ... ok", "LONGWAVE_VM_EXIT=0"]), None);
}
