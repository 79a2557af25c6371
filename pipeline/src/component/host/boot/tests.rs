use super::*;

/// *Scenario*: a boot id as the kernel writes it, a truncated one, no file.
/// *Guarantees*: the first is read in full, and its short id has its first eight digits; the errors of the others name the file.
#[test]
fn boot_ids_are_read() {
    let proc = std::env::temp_dir().join(format!("longwave-boot-id-{}", std::process::id()));
    let file = proc.join("sys/kernel/random/boot_id");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        BootId::read(&proc)
    };
    let id = read("0a0b0c0d-1111-2222-3333-444444444455\n").unwrap();
    assert_eq!((id.short(), id.0[15]), (0x0a0b_0c0d, 0x55));
    let error = read("0a0b0c0d-1111").unwrap_err().to_string();
    std::fs::remove_dir_all(&proc).unwrap();
    assert_eq!(error, format!("{}: not a boot id: \"0a0b0c0d-1111\"", file.display()));
    let error = BootId::read(&proc).unwrap_err().to_string();
    assert!(error.starts_with(&file.display().to_string()) && error.ends_with("is /proc mounted here?"));
}
