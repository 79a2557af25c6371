//! `longwave top` in a terminal.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use longwave_testing::{gate, golden, harness, tests};
use longwave_tests::tmux::Terminal;
use longwave_tests::{Family, Network, binary};
use rustix::process::{Pid, Signal, kill_process};

/// Writes the golden recording: one interval with a connection of each event.
fn write_recording(folder: &Path) -> PathBuf {
    let path = folder.join("shop.lwr");
    std::fs::write(&path, golden::RECORDING).unwrap();
    path
}

/// *Scenario*: `top` shows a record file at 80×24. Keys open every view, the levels, the details, the help, the columns, and a filter with
/// a mistake.
/// *Guarantees*: each screen appears with what it is about. After `q` the terminal is as before, and the exit code is 0.
fn keys_reach_every_screen() {
    let folder = tempfile::tempdir().unwrap();
    let recording = write_recording(folder.path());
    let terminal = Terminal::start(80, 24, &binary::longwave(), &["top", recording.to_str().unwrap()]);
    let first = terminal.await_text("checkout.shop");
    assert!(first.contains("1 failed") && first.contains("shop.lwr, 08:00:05"), "{first}");
    assert_eq!(
        (terminal.variable("alternate_on"), terminal.variable("cursor_flag")),
        ("1".into(), "0".into())
    );
    let after = |keys: &[&str], text: &str| {
        terminal.press(keys);
        terminal.await_text(text)
    };
    let slow = after(&["2"], "by RTT ↓");
    assert!(slow.contains("LIMIT") && slow.contains("peer window"), "{slow}");
    after(&["3"], "by RETR% ↓");
    let failing = after(&["4"], "by FAILED ↓");
    assert!(failing.contains("refused 10.2.0.9:81"), "{failing}");
    after(&["5"], "cart.shop:8080");
    after(&["?"], "Esc closes");
    terminal.press(&["Escape"]);
    terminal.await_screen("no help", |screen| !screen.contains("Esc closes"));
    after(&["c"], "Space shows or hides");
    terminal.press(&["Escape"]);
    terminal.await_screen("no columns", |screen| !screen.contains("Space shows or hides"));
    after(&["1", "Enter"], "connections of ");
    let details = after(&["Enter"], "checkout (pid 4711)");
    assert!(details.contains("receive window was full for 2.50s of 4.00s"), "{details}");
    assert!(details.contains("10.1.0.7:51324"), "{details}");
    after(&["Down", "Down", "Down"], "max 312µs");
    terminal.press(&["Escape"]);
    terminal.await_screen("no details", |screen| !screen.contains("pid 4711"));
    after(&["Escape"], "workloads   by");
    after(&["Escape"], "services   by");
    after(&["/", "rrt>5ms", "Enter"], "^ unknown field \"rrt\" (did you mean rtt?)");
    after(&["C-u", "event=fail", "Enter"], "filter: event=fail");
    terminal.press(&["q"]);
    assert_eq!(terminal.await_end(), 0);
    assert_eq!(
        (terminal.variable("alternate_on"), terminal.variable("cursor_flag")),
        ("0".into(), "1".into())
    );
}

/// *Scenario*: SIGTERM and SIGHUP while the screen is shown, and Ctrl-Z in a shell, followed by `fg`.
/// *Guarantees*: the terminal is restored each time, and after `fg` the screen is there again.
fn the_terminal_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let recording = write_recording(folder.path());
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let terminal = Terminal::start(80, 24, &binary::longwave(), &["top", recording.to_str().unwrap()]);
        terminal.await_text("checkout.shop");
        kill_process(Pid::from_raw(terminal.process() as i32).unwrap(), signal).unwrap();
        assert_eq!(terminal.await_end(), 0, "{signal:?}");
        assert_eq!(terminal.variable("alternate_on"), "0", "{signal:?}");
    }
    let shell = Terminal::start(80, 24, Path::new("bash"), &["--norc", "-i"]);
    let command = format!("{} top {}", binary::longwave().display(), recording.display());
    shell.press(&[&command, "Enter"]);
    shell.await_text("checkout.shop");
    shell.press(&["C-z"]);
    shell.await_screen("the shell", |screen| screen.contains("Stopped") && !screen.contains("checkout.shop"));
    shell.press(&["fg", "Enter"]);
    shell.await_text("checkout.shop");
    shell.press(&["q"]);
    shell.await_screen("the shell again", |screen| !screen.contains("checkout.shop"));
    assert_eq!((shell.variable("alternate_on"), shell.variable("cursor_flag")), ("0".into(), "1".into()));
    shell.press(&["stty -a", "Enter"]);
    shell.await_screen("a terminal in cooked mode", |screen| {
        screen.contains(" icanon") && screen.contains(" echo ")
    });
}

/// *Scenario*: no Longwave runs; a connection is open on this host.
/// *Guarantees*: `top` reads the kernel itself, and the connection is on its screen.
fn the_kernel_is_read_without_a_longwave() {
    let _turn = gate::privileged();
    let network = Network::loopback(Family::V4);
    let (client, _server) = network.pair().unwrap();
    let port = client.account().local.port();
    let terminal = Terminal::start(200, 60, &binary::longwave(), &["top", &format!("port={port}")]);
    terminal.await_text("kernel of this host");
    terminal.press(&["5"]);
    terminal.await_text(&format!(":{port}"));
    terminal.press(&["q"]);
    assert_eq!(terminal.await_end(), 0);
}

/// *Scenario*: `top` in a pipe.
/// *Guarantees*: it is refused, and the error names `observe`.
fn a_pipe_is_refused() {
    let output = Command::new(binary::longwave()).arg("top").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("`longwave observe` prints lines"), "{stderr}");
}

fn main() -> ExitCode {
    harness::run(tests![
        keys_reach_every_screen,
        the_terminal_is_restored,
        the_kernel_is_read_without_a_longwave,
        a_pipe_is_refused,
    ])
}
