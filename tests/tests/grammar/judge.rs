//! The two programs, each with a folder that has the configurations in its words.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use longwave_tests::binary;
use tempfile::TempDir;

use crate::case::{self, Case};

/// Components that only Longwave has, and components of the Collector that have no settings either.
const STAND_INS: [(&str, &str); 2] = [("bpf", "nop"), ("window", "batch")];

/// Environment variables to which the configurations refer.
const VARIABLES: [(&str, &str); 12] = [
    ("HOST", "localhost"),
    ("NUMBER", "20"),
    ("TRUE", "true"),
    ("DURATION", "2s"),
    ("MAP", "{enabled: false}"),
    ("LIST", "[otlp_grpc]"),
    ("EXPORTER", "otlp_grpc"),
    ("EMPTY", ""),
    ("QUOTED", "\"a\""),
    ("WHICH", "DURATION"),
    ("ITSELF", "${env:ITSELF}"),
    ("WHOLE", "exporters: {otlp_grpc: {timeout: 2s}}"),
];

/// Number of configurations that are judged at the same time.
const WORKERS: usize = 4;

/// Longwave and the Collector.
pub struct Judges {
    longwave: Judge,
    collector: Judge,
}

struct Judge {
    name: &'static str,
    binary: PathBuf,
    folder: TempDir,
}

/// What a program says of a configuration.
pub struct Verdict {
    program: &'static str,
    pub accepts: bool,
    /// What it wrote.
    pub message: String,
}

// === impl Judges ===

impl Judges {
    /// Copies the files to which the configurations refer.
    pub fn new(collector: &Path) -> Self {
        let judge = |name, binary| Judge { name, binary, folder: TempDir::new().unwrap() };
        let judges = Self {
            longwave: judge("Longwave", binary::longwave()),
            collector: judge("the Collector", collector.to_owned()),
        };
        for judge in judges.both() {
            std::fs::create_dir(judge.folder.path().join("parts")).unwrap();
        }
        for folder in ["", "parts"] {
            for entry in std::fs::read_dir(case::folder().join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(case::folder()).unwrap().to_str().unwrap().to_owned();
                    judges.write(&name, &std::fs::read(path).unwrap());
                }
            }
        }
        judges
    }

    fn both(&self) -> [&Judge; 2] {
        [&self.longwave, &self.collector]
    }

    /// Writes a file for both programs.
    pub fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.longwave.folder.path().join(name), content).unwrap();
        std::fs::write(self.collector.folder.path().join(name), with_stand_ins(content)).unwrap();
    }

    /// Returns the verdicts of Longwave and of the Collector on each case.
    pub fn verdicts(&self, cases: &[Case]) -> Vec<[Verdict; 2]> {
        let share = cases.len().div_ceil(WORKERS).max(1);
        std::thread::scope(|scope| {
            let workers: Vec<_> = cases
                .chunks(share)
                .map(|cases| {
                    scope.spawn(move || {
                        cases
                            .iter()
                            .map(|case| self.both().map(|judge| judge.verdict(&case.arguments)))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        })
    }

    /// Returns what `longwave print-config` prints for the file `name`.
    pub fn printed(&self, name: &str) -> String {
        let output = self.longwave.command("print-config").arg(format!("--config={name}")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns the verdict of the Collector on the configuration `text`, in its words.
    pub fn collector_on(&self, text: &str) -> Verdict {
        std::fs::write(self.collector.folder.path().join("printed.yaml"), text).unwrap();
        self.collector.verdict(&["--config=printed.yaml".to_owned()])
    }
}

/// Replaces whole words.
fn with_stand_ins(content: &[u8]) -> Vec<u8> {
    // In UTF-16, each character of a word is two bytes long.
    let wide = content.starts_with(&[0xff, 0xfe]);
    let bytes = |word: &str| -> Vec<u8> {
        if wide { word.encode_utf16().flat_map(u16::to_le_bytes).collect() } else { word.as_bytes().to_vec() }
    };
    STAND_INS
        .iter()
        .fold(content.to_vec(), |content, (own, stand_in)| replaced(&content, &bytes(own), &bytes(stand_in)))
}

fn replaced(content: &[u8], word: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(first) = rest.first() {
        if let Some(after) = rest.strip_prefix(word) {
            out.extend_from_slice(by);
            rest = after;
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    out
}

// === impl Judge ===

impl Judge {
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(verb).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_clear().envs(VARIABLES);
        command
    }

    fn verdict(&self, arguments: &[String]) -> Verdict {
        let output = self.command("validate").args(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        // A panic, or a signal, is not a verdict.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{} {arguments:?}: {message}", self.name);
        Verdict { program: self.name, accepts: output.status.success(), message }
    }
}

// === impl Verdict ===

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.accepts { "accepts" } else { "refuses" };
        write!(f, "{} {verdict}: {}", self.program, self.message.trim_end())
    }
}
