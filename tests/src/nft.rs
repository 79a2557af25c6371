//! Drops segments with nftables in a network namespace.

use std::io::Write;
use std::process::{Command, Stdio};

use longwave_testing::netns::Netns;

/// Hook at which segments are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// On arrival, as if the network had lost them.
    Input,
    /// On departure. The local stack then gets an error, as if the device had refused them.
    Output,
}

impl Hook {
    fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// Drops `percent` of the TCP segments at `hook`, at random.
pub fn drop_some(netns: &Netns, hook: Hook, percent: u32) {
    apply(netns, hook, &format!("meta l4proto tcp numgen random mod 100 < {percent} drop"));
}

/// Drops all TCP segments at `hook` that match the expression `what`. If it is empty, drops all.
pub fn drop_all(netns: &Netns, hook: Hook, what: &str) {
    apply(netns, hook, &format!("meta l4proto tcp {what} drop"));
}

/// Removes all rules.
pub fn clear(netns: &Netns) {
    script(netns, "flush ruleset\n");
}

fn apply(netns: &Netns, hook: Hook, rule: &str) {
    let hook = hook.as_str();
    let chain = format!("type filter hook {hook} priority 0; policy accept;\n{rule}");
    script(netns, &format!("table inet longwave_{hook} {{\nchain c {{\n{chain}\n}}\n}}\n"));
}

fn script(netns: &Netns, text: &str) {
    netns.enter(|| {
        let mut nft = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("nft: {error} (the test needs nftables)"));
        nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = nft.wait_with_output().unwrap();
        assert!(output.status.success(), "nft: {text}: {}", String::from_utf8_lossy(&output.stderr));
    });
}
