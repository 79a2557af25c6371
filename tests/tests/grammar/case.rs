//! The configurations in tests/fixtures/grammar.
//!
//! A file `*.cases` has many of them, each after a line `=== valid name` or `=== invalid name: word`, with the verdict of the Collector, and a
//! word that the errors of both programs contain. Lines `$ --config=…` are the arguments, in which `CASE` is the configuration below them. Without
//! such lines it is merged into `base.yaml`.

use std::path::Path;

use crate::judge::Judges;

/// One configuration.
pub struct Case {
    pub name: String,
    pub arguments: Vec<String>,
    pub collector_accepts: bool,
    /// Part of the error of both programs. Empty if the configuration is valid for one of them.
    pub word: String,
}

/// Path of the fixtures.
pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/grammar"))
}

/// Reads all configurations and writes them to the folders of the two programs.
///
/// # Panics
/// If two have the same name.
pub fn read_all(judges: &Judges) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "cases")) {
        let text = std::fs::read_to_string(file).unwrap();
        for part in text.split("=== ").skip(1) {
            let (header, rest) = part.split_once('\n').unwrap();
            let (case, body) = Case::parse(header, rest);
            assert!(cases.iter().all(|other| other.name != case.name), "{} is there twice", case.name);
            judges.write(&format!("{}.yaml", case.name), body.as_bytes());
            cases.push(case);
        }
    }
    cases
}

// === impl Case ===

impl Case {
    /// Returns the case, and the text of the configuration.
    fn parse<'a>(header: &str, rest: &'a str) -> (Self, &'a str) {
        let (verdict, name) = header.split_once(' ').unwrap();
        let (name, word) = name.split_once(": ").unwrap_or((name, ""));
        assert!(["valid", "invalid"].contains(&verdict), "{header}");
        let file = format!("{name}.yaml");
        let (mut arguments, mut body) = (Vec::new(), rest);
        while let Some((argument, next)) =
            body.strip_prefix("$ ").map(|line| line.split_once('\n').unwrap_or((line, "")))
        {
            arguments.push(argument.replace("CASE", &file));
            body = next;
        }
        if arguments.is_empty() {
            arguments = vec!["--config=base.yaml".to_owned(), format!("--config={file}")];
        }
        let case = Self {
            name: name.to_owned(),
            arguments,
            collector_accepts: verdict == "valid",
            word: word.to_owned(),
        };
        (case, body)
    }
}
