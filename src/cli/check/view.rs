//! What this process sees of its surroundings: files, variables, sockets. A test fakes all of it.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// A file tree and an environment.
pub(in crate::cli) struct View {
    root: PathBuf,
    variable: Box<Variables>,
}

/// The value of a variable, by its name.
type Variables = dyn Fn(&str) -> Option<String>;

// === impl View ===

impl View {
    pub(in crate::cli) fn of_this_process() -> Self {
        Self::new("/", |name| std::env::var(name).ok())
    }

    /// The tree below `root`, and the variables that `variable` knows.
    pub(in crate::cli) fn new(
        root: impl Into<PathBuf>,
        variable: impl Fn(&str) -> Option<String> + 'static,
    ) -> Self {
        Self { root: root.into(), variable: Box::new(variable) }
    }

    /// A variable that is set and not empty.
    pub(in crate::cli) fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    pub(in crate::cli) fn exists(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    pub(in crate::cli) fn read(&self, path: &str) -> io::Result<String> {
        std::fs::read_to_string(self.at(path))
    }

    pub(in crate::cli) fn link(&self, path: &str) -> Option<PathBuf> {
        std::fs::read_link(self.at(path)).ok()
    }

    /// Whether somebody listens at a Unix socket and lets this process in.
    pub(in crate::cli) fn connects(&self, path: &str) -> io::Result<()> {
        UnixStream::connect(self.at(path)).map(drop)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
    }
}
