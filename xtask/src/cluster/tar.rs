//! Tar archives (`ustar`), as far as images need them.

use std::io::{self, Write};

/// What an entry is.
pub enum Kind<'a> {
    /// With its bytes.
    File(&'a [u8]),
    /// A folder; its name ends with a slash.
    Folder,
    /// To a path, relative to its own folder.
    Link(&'a str),
}

/// An archive in the making. All is root's and from the epoch, so equal contents are equal bytes.
pub struct Archive<W> {
    out: W,
}

// === impl Archive ===

impl<W: Write> Archive<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Adds an entry. Fails for a name above 100 bytes.
    pub fn add(&mut self, name: &str, mode: u32, kind: &Kind) -> io::Result<()> {
        let (flag, link, data): (u8, &str, &[u8]) = match kind {
            Kind::File(data) => (b'0', "", data),
            Kind::Folder => (b'5', "", &[]),
            Kind::Link(target) => (b'2', target, &[]),
        };
        if name.len() > 100 || link.len() > 100 {
            return Err(io::Error::other(format!("{name}: longer than 100 bytes")));
        }
        let mut header = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}\0{:07o}\0{:07o}\0{:011o}\0{:011o}\0", 0, 0, data.len(), 0).as_bytes());
        // The sum is taken with spaces in its place.
        put(148, b"        ");
        put(156, &[flag]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.out.write_all(&header)?;
        self.out.write_all(data)?;
        self.out.write_all(&[0; 512][..data.len().next_multiple_of(512) - data.len()])
    }

    /// Ends it with two empty blocks, and gives back what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 1024])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::{Archive, Kind};
    use std::process::{Command, Stdio};

    /// *Scenario*: a folder, a file and a link, listed by the system's tar.
    /// *Guarantees*: it reads names, modes, sizes and targets as given.
    #[test]
    fn the_systems_tar_reads_it() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.add("bin/", 0o755, &Kind::Folder).unwrap();
        archive.add("bin/a", 0o755, &Kind::File(b"12345")).unwrap();
        archive.add("bin/b", 0o777, &Kind::Link("a")).unwrap();
        archive.finish().unwrap();
        let file = std::env::temp_dir().join(format!("xtask-tar-{}", std::process::id()));
        std::fs::write(&file, bytes).unwrap();
        let tar = Command::new("tar")
            .arg("-tvf")
            .arg(&file)
            .env("TZ", "UTC")
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        std::fs::remove_file(file).unwrap();
        let listing = String::from_utf8(tar.stdout).unwrap();
        let words: Vec<Vec<&str>> = listing.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(tar.status.success(), "{listing}");
        assert_eq!((words[0][0], words[0][5]), ("drwxr-xr-x", "bin/"));
        assert_eq!((words[1][0], words[1][2], words[1][5]), ("-rwxr-xr-x", "5", "bin/a"));
        assert_eq!(words[2][5..], ["bin/b", "->", "a"]);
    }
}
