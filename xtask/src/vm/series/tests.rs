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
/// *Guarantees*: the newest cloud kernel of the series is found, by comparing numbers and not text. `None` if the series has no kernel.
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

/// *Scenario*: two series in another order, one of them twice. Then `all` and one series.
/// *Guarantees*: each series is chosen once, oldest first.
#[test]
fn series_are_chosen_once() {
    let names = ["newest", "6.1", "newest"].map(str::to_owned);
    assert_eq!(chosen(&names), [series("6.1"), series("newest")]);
    assert_eq!(chosen(&["6.1", "all"].map(str::to_owned)), SERIES);
}
