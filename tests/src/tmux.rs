//! A terminal: a program in a server of tmux that belongs to the test alone.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use longwave_testing::gate;

/// Time for the screen to show what a test waits for.
const LIMIT: Duration = Duration::from_secs(60);
/// Time between two reads of the screen, because a terminal does not report changes.
const PAUSE: Duration = Duration::from_millis(20);

/// A terminal in which a program runs. It is closed when it is dropped.
pub struct Terminal {
    server: String,
}

// === impl Terminal ===

impl Terminal {
    /// Starts a program in a terminal of this size. Skips the test if tmux is missing.
    ///
    /// # Panics
    /// If tmux cannot start it.
    pub fn start(columns: u16, lines: u16, program: &Path, arguments: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if Command::new("tmux").arg("-V").output().is_err() {
            gate::missing("no tmux", "LONGWAVE_REQUIRE_PEERS");
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { server: format!("longwave-test-{}-{number}", std::process::id()) };
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let mut command = terminal.tmux();
        command.args(["-f", "/dev/null", "start-server", ";", "set", "-g", "status", "off", ";"]);
        command.args(["set", "-g", "default-terminal", "screen-256color", ";"]);
        // tmux does not always have the exit code, so a shell prints it. The pane stays until the test has ended.
        command.args(["new-session", "-d", "-x", &columns, "-y", &lines, "sh", "-c"]);
        command.args([r#""$0" "$@"; echo "exit code $?"; exec cat"#]).arg(program).args(arguments);
        let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.server, "-u"]).env_remove("TMUX");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.tmux().args(arguments).output().unwrap()
    }

    /// Presses keys, by their names in tmux: `Enter`, `Escape`, `Down`, `C-z`, `a`.
    pub fn press(&self, keys: &[&str]) {
        let output = self.run(&[&["send-keys"], keys].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Returns the text on the screen.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.run(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// Returns a variable of tmux about the pane, such as `alternate_on`.
    pub fn variable(&self, name: &str) -> String {
        let shown = self.run(&["display-message", "-p", &format!("#{{{name}}}")]);
        String::from_utf8_lossy(&shown.stdout).trim().to_owned()
    }

    /// Waits until the screen satisfies a condition, and returns it.
    ///
    /// # Panics
    /// If it does not within a minute, with the screen.
    pub fn await_screen(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.until(what, || Some(self.screen()).filter(|screen| wanted(screen)))
    }

    /// Waits until the screen contains the text, and returns it.
    pub fn await_text(&self, text: &str) -> String {
        self.await_screen(text, |screen| screen.contains(text))
    }

    /// Waits until the program has ended, and returns its exit code.
    pub fn await_end(&self) -> i32 {
        let code = || {
            let screen = self.screen();
            let line = screen.lines().find_map(|line| line.split("exit code ").nth(1));
            line.map(|code| code.trim().to_owned())
        };
        self.until("the end", code).parse().unwrap()
    }

    fn until(&self, what: &str, attempt: impl Fn() -> Option<String>) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(found) = attempt() {
                return found;
            }
            assert!(Instant::now() < end, "the screen never had {what:?}:\n{}", self.screen());
            sleep(PAUSE);
        }
    }

    /// Returns the id of the program's process, the only child of the shell.
    pub fn process(&self) -> u32 {
        let shell = self.variable("pane_pid");
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.trim().parse().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}
