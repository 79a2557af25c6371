use super::{parts, version};

/// *Scenario*: names of a release that has a kernel in one package, and of one that has it in several.
/// *Guarantees*: all packages with the image or modules of the version are chosen, and no others.
#[test]
fn a_kernel_is_all_of_its_packages() {
    let names = [
        "linux-image-6.1.0-57-cloud-amd64",
        "linux-headers-6.1.0-57-cloud-amd64",
        "linux-image-7.2.13+deb14-cloud-amd64",
        "linux-binary-7.2.13+deb14-cloud-amd64",
        "linux-binary-unsigned-7.2.13+deb14-cloud-amd64",
        "linux-modules-7.2.13+deb14-cloud-amd64",
        "linux-modules-7.2.13+deb14-amd64",
    ];
    let names = names.map(str::to_owned);
    assert_eq!(parts("6.1.0-57", &names), ["linux-image-6.1.0-57-cloud-amd64"]);
    assert_eq!(
        parts("7.2.13+deb14", &names),
        ["image", "binary", "modules"].map(|part| format!("linux-{part}-7.2.13+deb14-cloud-amd64"))
    );
}

/// *Scenario*: releases as Debian and others write them.
/// *Guarantees*: the version is the first two numbers.
#[test]
fn a_version_is_two_numbers() {
    let releases =
        [("7.2.13+deb14-cloud-amd64", "7.2"), ("5.10.0-46-cloud-amd64", "5.10"), ("7.3-rc1", "7.3")];
    for (release, expected) in releases {
        assert_eq!(version(release), expected);
    }
}
