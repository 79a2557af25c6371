use super::Layer;
use std::process::{Command, Stdio};

/// *Scenario*: a folder, a file and a link, listed by the system's tar.
/// *Guarantees*: tar reads the names, modes, sizes and targets that were passed.
#[test]
fn the_systems_tar_reads_a_layer() {
    let mut layer = Layer::new();
    layer.file("bin/a", 0o755, b"12345").unwrap();
    layer.link("bin/b", "a").unwrap();
    let file = std::env::temp_dir().join(format!("xtask-tar-{}", std::process::id()));
    std::fs::write(&file, layer.finish().unwrap()).unwrap();
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
