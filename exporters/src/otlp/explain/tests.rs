use super::*;

fn explained(code: i32) -> String {
    let connect = ConnectFailed(io::Error::from_raw_os_error(code));
    explain("http://c:4317", false, &connect)
}

/// *Scenario*: connecting fails because the process or the host has no descriptor left, and with two other errors of the operating system.
/// *Guarantees*: without descriptors, the message names the limit and how to raise it. No message mentions TLS.
#[test]
fn errors_of_the_operating_system() {
    let codes = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::ADDRNOTAVAIL,
        rustix::io::Errno::NOBUFS,
    ];
    let lines = codes.map(|code| explained(code.raw_os_error()));
    assert!(lines.iter().all(|line| !line.contains("TLS")), "{lines:?}");
    insta::assert_snapshot!(lines.join("\n"));
}

/// *Scenario*: a connection that cannot be opened, and one that was reset.
/// *Guarantees*: only the second may have brought the request to the server.
#[test]
fn only_an_open_connection_can_deliver() {
    let connect = ConnectFailed(io::ErrorKind::ConnectionRefused.into());
    assert!(!may_have_arrived(&io::Error::other(connect)));
    assert!(may_have_arrived(&io::Error::from(io::ErrorKind::ConnectionReset)));
}
