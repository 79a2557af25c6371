//! Downloads and unpacks Debian packages without installing them. Needs no root. Fetches the package lists itself, because the lists of the
//! system may be missing (in containers), old, or of another release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh::{output, run_quiet};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with separate, new package lists of some suites.
pub struct Apt {
    folder: PathBuf,
}

// === impl Apt ===

impl Apt {
    /// Fetches the lists of `suites` (`bookworm`, `bookworm-security`) into `folder`.
    pub fn with_lists(folder: PathBuf, suites: &[&str]) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!("apt: {KEYRING} is missing: install debian-archive-keyring, whose keys sign the packages");
        }
        let apt = Self { folder };
        for name in ["lists/partial", "archives/partial"] {
            let folder = apt.folder.join(name);
            fs::create_dir_all(&folder).with_context(|| format!("apt: create {}", folder.display()))?;
        }
        let sources = apt.folder.join("sources.list");
        let lines: String = suites.iter().map(|suite| source(suite)).collect();
        fs::write(&sources, lines).with_context(|| format!("apt: write {}", sources.display()))?;
        run_quiet(apt.program("apt-get").args(["update", "--error-on=any"])).with_context(|| {
            format!("apt: no lists of {}: is deb.debian.org reachable?", suites.join(" and "))
        })?;
        Ok(apt)
    }

    /// Returns the packages whose names start with `prefix`.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = output(self.program("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Downloads `packages` and unpacks them into `root`. Returns `name version` of each, sorted.
    pub fn unpack(&self, packages: &[impl AsRef<str>], root: &Path) -> Result<Vec<String>> {
        let debs = self.folder.join("debs");
        // An interrupted download leaves a partial file.
        let _ = fs::remove_dir_all(&debs);
        for folder in [debs.as_path(), root] {
            fs::create_dir_all(folder).with_context(|| format!("apt: create {}", folder.display()))?;
        }
        let packages: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
        eprintln!("apt: downloading {}", packages.join(" "));
        run_quiet(self.program("apt-get").arg("download").args(packages).current_dir(&debs))?;
        let mut versions = Vec::new();
        for entry in fs::read_dir(&debs).with_context(|| format!("apt: read {}", debs.display()))? {
            let deb = entry.with_context(|| format!("apt: read {}", debs.display()))?.path();
            run_quiet(Command::new("dpkg").arg("-x").arg(&deb).arg(root))?;
            let mut fields = Command::new("dpkg-deb");
            versions.push(output(fields.args(["-W", "--showformat=${Package} ${Version}"]).arg(&deb))?);
        }
        versions.sort();
        fs::remove_dir_all(&debs).with_context(|| format!("apt: remove {}", debs.display()))?;
        Ok(versions)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        for (key, value) in [
            ("Dir::State::lists", self.folder.join("lists")),
            // Ignores the packages that are installed on the system.
            ("Dir::State::status", PathBuf::from("/dev/null")),
            ("Dir::Cache", self.folder.clone()),
            ("Dir::Cache::archives", self.folder.join("archives")),
            ("Dir::Etc::sourcelist", self.folder.join("sources.list")),
            ("Dir::Etc::sourceparts", PathBuf::from("/dev/null")),
        ] {
            command.arg("-o").arg(format!("{key}={}", value.display()));
        }
        // The sandbox user of apt could not write to this folder.
        command.args(["-q", "-o", "APT::Sandbox::User=root", "-o", "APT::Architecture=amd64"]);
        command
    }
}

/// Returns the line of a suite in `sources.list`. `target=Packages` excludes translations and other lists.
fn source(suite: &str) -> String {
    let archive = if suite.ends_with("-security") { "debian-security" } else { "debian" };
    format!("deb [signed-by={KEYRING} target=Packages] http://deb.debian.org/{archive} {suite} main\n")
}

#[cfg(test)]
mod tests;
