//! The kernel series that virtual machines can run, and the Debian suites that contain them.

/// A kernel series of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSeries {
    /// Name in `--kernel`.
    pub name: &'static str,
    /// Start of its versions.
    prefix: &'static str,
    /// Debian suite that contains its newest version.
    pub suite: &'static str,
    /// Whether Longwave refuses to run on it.
    pub too_old: bool,
}

/// All series, oldest first.
pub const SERIES: [KernelSeries; 4] = [
    KernelSeries { name: "5.10", prefix: "5.10.", suite: "bullseye-security", too_old: true },
    KernelSeries { name: "6.1", prefix: "6.1.", suite: "bookworm-security", too_old: false },
    KernelSeries { name: "6.12", prefix: "6.12.", suite: "bookworm-security", too_old: false },
    KernelSeries { name: "newest", prefix: "", suite: "sid", too_old: false },
];

/// Name in `--kernel` for every series.
const ALL: &str = "all";

/// Returns the values of `--kernel`.
pub fn choices() -> impl Iterator<Item = &'static str> {
    SERIES.iter().map(|series| series.name).chain([ALL])
}

/// Returns the series that `names` choose, each once, oldest first.
pub fn chosen(names: &[String]) -> Vec<KernelSeries> {
    let chosen = |series: &KernelSeries| names.iter().any(|name| name == series.name || name == ALL);
    SERIES.into_iter().filter(chosen).collect()
}

// === impl KernelSeries ===

impl KernelSeries {
    /// Returns the newest version in names of packages: `6.12.117+deb12` of `linux-image-6.12.117+deb12-cloud-amd64`.
    pub fn newest_version(&self, packages: &[String]) -> Option<String> {
        let versions = packages.iter().filter_map(|package| {
            let version = package.strip_prefix("linux-image-")?.strip_suffix("-cloud-amd64")?;
            (version.starts_with(self.prefix) && version.starts_with(|c: char| c.is_ascii_digit()))
                .then_some(version)
        });
        versions.max_by_key(|version| numbers(version)).map(str::to_owned)
    }
}

fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
