//! The kernel series that machines have, and where Debian keeps them.

/// A kernel series of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// As `--kernel` has it.
    pub name: &'static str,
    /// What its versions begin with.
    prefix: &'static str,
    /// The suite that has its newest version.
    pub suite: &'static str,
    /// Longwave refuses it, and the tests show that it says so.
    pub too_old: bool,
}

/// Every series, oldest first.
pub const SERIES: [Series; 4] = [
    Series { name: "5.10", prefix: "5.10.", suite: "bullseye-security", too_old: true },
    Series { name: "6.1", prefix: "6.1.", suite: "bookworm-security", too_old: false },
    Series { name: "6.12", prefix: "6.12.", suite: "bookworm-security", too_old: false },
    Series { name: "newest", prefix: "", suite: "sid", too_old: false },
];

/// Stands for every series.
const ALL: &str = "all";

/// What `--kernel` may be.
pub fn choices() -> impl Iterator<Item = &'static str> {
    SERIES.iter().map(|series| series.name).chain([ALL])
}

/// The series that `names` choose, each once, oldest first.
pub fn chosen(names: &[String]) -> Vec<Series> {
    let chosen = |series: &Series| names.iter().any(|name| name == series.name || name == ALL);
    SERIES.into_iter().filter(chosen).collect()
}

// === impl Series ===

impl Series {
    /// The newest version among packages' names: `6.12.117+deb12` of `linux-image-6.12.117+deb12-cloud-amd64`.
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
    use super::{SERIES, Series, chosen};

    fn series(name: &str) -> Series {
        chosen(&[name.to_owned()])[0]
    }

    fn newest(name: &str, packages: &[&str]) -> Option<String> {
        let packages: Vec<String> = packages.iter().map(|package| (*package).to_owned()).collect();
        series(name).newest_version(&packages)
    }

    /// *Scenario*: names as Debian has them: versions with and without a plus, other series, other flavours, empty packages that depend on
    /// the newest.
    /// *Guarantees*: the newest version of the series' own cloud kernels is found, by its numbers; none where there is none.
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
