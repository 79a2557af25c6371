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
mod tests {
    use super::{KernelSeries, SERIES, chosen};

    fn series(name: &str) -> KernelSeries {
        chosen(&[name.to_owned()])[0]
    }

    fn newest(name: &str, packages: &[&str]) -> Option<String> {
        let packages: Vec<String> = packages.iter().map(|package| (*package).to_owned()).collect();
        series(name).newest_version(&packages)
    }

    /// *Scenario*: names of Debian's packages: versions with and without a plus, other series, other flavours, packages that only depend on
    /// the newest one.
    /// *Guarantees*: the newest version of the cloud kernels of the series is found by its numbers; `None` if there is none.
    #[test]
    fn the_newest_version_is_found_by_its_numbers() {
        let bookworm = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-57-cloud-amd64",
            "linux-image-6.1.0-99-amd64",
            "linux-image-6.1.0-99-cloud-amd64-dbg",
            "linux-headers-6.1.0-99-cloud-amd64",
            "linux-image-6.12-cloud-amd64",
            "linux-image-6.12.90+deb12-cloud-amd64",
            "linux-image-6.12.90+deb12.1-cloud-amd64",
            "linux-image-6.12.9+deb12-cloud-amd64",
            "linux-image-cloud-amd64",
        ];
        assert_eq!(newest("6.1", &bookworm).as_deref(), Some("6.1.0-57"));
        assert_eq!(newest("6.12", &bookworm).as_deref(), Some("6.12.90+deb12.1"));
        assert_eq!(newest("5.10", &bookworm), None);
        let sid = [
            "linux-image-7.2.13+deb14-cloud-amd64",
            "linux-image-7.10.1+deb14-cloud-amd64",
            "linux-image-cloud-amd64",
            "linux-image-unsigned-7.11.1+deb14-cloud-amd64",
        ];
        assert_eq!(newest("newest", &sid).as_deref(), Some("7.10.1+deb14"));
    }

    /// *Scenario*: two series in another order, one of them twice; `all` beside one.
    /// *Guarantees*: each series is chosen once, oldest first.
    #[test]
    fn series_are_chosen_once() {
        let names = ["newest", "6.1", "newest"].map(str::to_owned);
        assert_eq!(chosen(&names), [series("6.1"), series("newest")]);
        assert_eq!(chosen(&["6.1", "all"].map(str::to_owned)), SERIES);
    }
}
