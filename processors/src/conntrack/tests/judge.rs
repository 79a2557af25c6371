use super::*;
use crate::conntrack::judge::{conclude, host_tuple};
use crate::conntrack::request::{Outcome, Reason};

fn missing(time: UnixNanos) -> Findings {
    Findings {
        own: NamespaceResult::Nothing,
        host: NamespaceResult::LookedUp(LookupResult::Missing),
        at: time,
    }
}

/// *Scenario*: the client and the server of a translated connection, and a socket of unknown role on either side.
/// *Guarantees*: all get the same translation.
#[test]
fn both_ends_find_the_same_translation() {
    let unknown = |tuple| Request { role: Role::Unknown, ..request(tuple, Role::Unknown) };
    for request in [client(), server(), unknown(entry().original), unknown(entry().reply)] {
        assert_eq!(conclude(&request, &host_says(entry(), at(105)), None), Outcome::To(translation()));
    }
}

/// *Scenario*: an entry without translation, requested from either end, also if the kernel confused the client and the server.
/// *Guarantees*: the outcome is that both ends have the same addresses.
#[test]
fn tracked_is_not_translated() {
    let plain = ConntrackEntry { reply: entry().original.reversed(), ..entry() };
    for tuple in [plain.original, plain.reply] {
        for role in [Role::Client, Role::Server, Role::Unknown] {
            let outcome = conclude(&request(tuple, role), &host_says(plain, at(105)), None);
            assert_eq!(outcome, Outcome::Same);
        }
    }
}

/// *Scenario*: there is no entry: soon after the last observation, long after it, soon after the close, long after it, after a refused
/// open.
/// *Guarantees*: the connection is untranslated if an entry would certainly still exist, and its entry is gone otherwise.
#[test]
fn a_missing_entry_means_untranslated_only_while_it_would_exist() {
    let gone = Outcome::Unknown(Reason::Gone);
    assert_eq!(conclude(&client(), &missing(at(106)), None), Outcome::Same);
    assert_eq!(conclude(&client(), &missing(at(111)), None), gone);
    assert_eq!(conclude(&client(), &missing(at(112)), Some(at(110))), Outcome::Same);
    assert_eq!(conclude(&client(), &missing(at(116)), Some(at(110))), gone);
    let refused = Request { failed: true, ended: Some(at(105)), ..client() };
    assert_eq!(conclude(&refused, &missing(at(105)), refused.ended), gone);
}

/// *Scenario*: the kernel stores no times; an entry is read after the connection's close, in each of TCP's states, and before its close.
/// *Guarantees*: after the close, a closing entry belongs to the connection, and an open one to a successor; before the close, an entry
/// belongs to the connection in any state.
#[test]
fn after_the_close_an_open_entry_belongs_to_a_successor() {
    let in_state = |state| ConntrackEntry { state, ..entry() };
    let (before, after) = (at(109), at(111));
    let ended = Some(at(110));
    for state in [TrackedState::Opening, TrackedState::Answered, TrackedState::Established] {
        let outcome = conclude(&server(), &host_says(in_state(Some(state)), after), ended);
        assert_eq!(outcome, Outcome::Unknown(Reason::Reused));
    }
    let closing = in_state(Some(TrackedState::Closing));
    assert_eq!(conclude(&server(), &host_says(closing, after), ended), Outcome::To(translation()));
    assert_eq!(conclude(&server(), &host_says(entry(), before), ended), Outcome::To(translation()));
    // The socket is established, but the entry is still opening, so it belongs to another connection.
    let opening = in_state(Some(TrackedState::Opening));
    assert_eq!(conclude(&client(), &host_says(opening, before), None), Outcome::Unknown(Reason::Reused));
}

/// *Scenario*: an open that failed by timeout: its entry is still opening.
/// *Guarantees*: the entry belongs to the connection.
#[test]
fn a_failed_open_keeps_its_entry() {
    let request = Request { failed: true, state: TcpState::SynSent, ended: Some(at(110)), ..client() };
    let opening = ConntrackEntry { state: Some(TrackedState::Opening), ..entry() };
    assert_eq!(conclude(&request, &host_says(opening, at(111)), request.ended), Outcome::To(translation()));
}

/// *Scenario*: the kernel stores times; tracking began before the client's open, at it, long after it, and after the close; the same for a
/// server, whose socket is created when the handshake is over.
/// *Guarantees*: only an entry whose tracking began between open and close belongs to the connection, in any of TCP's states.
#[test]
fn times_decide_whose_entry_it_is() {
    let started =
        |time: u64| host_says(ConntrackEntry { started: Some(UnixNanos(time)), ..entry() }, at(111));
    let reused = Outcome::Unknown(Reason::Reused);
    let own = Outcome::To(translation());
    let ended = Some(at(110));
    assert_eq!(conclude(&client(), &started(99 * SECOND), ended), reused);
    assert_eq!(conclude(&client(), &started(100 * SECOND + 1), ended), own);
    assert_eq!(conclude(&client(), &started(107 * SECOND), ended), own);
    assert_eq!(conclude(&client(), &started(111 * SECOND), ended), reused);
    // Tracking began within the clocks' difference of the close, so an open entry belongs to a successor.
    assert_eq!(conclude(&client(), &started(110 * SECOND + SECOND / 100), ended), reused);
    assert_eq!(conclude(&server(), &started(99 * SECOND), ended), own);
    assert_eq!(conclude(&server(), &started(0), ended), own);
    assert_eq!(conclude(&server(), &started(111 * SECOND), ended), reused);
}

/// *Scenario*: the entry's client is the record's server.
/// *Guarantees*: the translation is not applied in the wrong direction.
#[test]
fn a_contradicting_role_is_unknown() {
    let request = Request { role: Role::Server, ..client() };
    assert_eq!(conclude(&request, &host_says(entry(), at(105)), None), Outcome::Unknown(Reason::Reused));
}

/// *Scenario*: an entry with other addresses than the request's; a reply that is not valid.
/// *Guarantees*: the outcome is unknown.
#[test]
fn nonsense_is_unknown() {
    let other = ConntrackEntry { original: tuple("1.1.1.1:1", "2.2.2.2:2"), ..entry() };
    let other = ConntrackEntry { reply: tuple("3.3.3.3:3", "1.1.1.1:1"), ..other };
    assert_eq!(conclude(&client(), &host_says(other, at(105)), None), Outcome::Unknown(Reason::Failed));
    let failed = Findings { host: NamespaceResult::LookedUp(LookupResult::Failed), ..missing(at(105)) };
    assert_eq!(conclude(&client(), &failed, None), Outcome::Unknown(Reason::Failed));
}

/// *Scenario*: a redirect in the pod sends the client's connection to a local proxy; in another pod, a redirect in front of the server
/// follows the host's translation; in a third pod, a redirect of the client precedes it.
/// *Guarantees*: packets that stay in the pod are not looked up in the host's namespace; two translations are combined, in either
/// direction.
#[test]
fn translations_of_both_namespaces_are_combined() {
    let redirect = ConntrackEntry {
        original: tuple("10.0.0.5:40000", "10.96.0.10:80"),
        reply: tuple("127.0.0.1:15001", "10.0.0.5:40000"),
        ..entry()
    };
    let own = NamespaceResult::LookedUp(LookupResult::Found(redirect));
    let app = request(redirect.original, Role::Client);
    let proxy = request(redirect.reply, Role::Server);
    for request in [app, proxy] {
        assert_eq!(host_tuple(&request, &own), None);
        let findings = Findings { own, host: NamespaceResult::Nothing, at: at(105) };
        assert_eq!(conclude(&request, &findings, None), Outcome::To(redirect.translation().unwrap()));
    }

    // Inbound: the host translates to 10.0.1.7:8080, and the pod redirects this to its port 15006.
    let inbound = ConntrackEntry {
        original: tuple("192.168.0.1:50000", "10.0.1.7:8080"),
        reply: tuple("10.0.1.7:15006", "192.168.0.1:50000"),
        ..entry()
    };
    let own = NamespaceResult::LookedUp(LookupResult::Found(inbound));
    let sidecar = request(inbound.reply, Role::Server);
    assert_eq!(host_tuple(&sidecar, &own), Some(entry().reply));
    let findings = Findings { own, ..host_says(entry(), at(105)) };
    let whole = Translation { backend: end("10.0.1.7:15006"), ..translation() };
    assert_eq!(conclude(&sidecar, &findings, None), Outcome::To(whole));

    // Outbound: the pod's own rule translates 1.2.3.4:1 to the cluster IP, and the host translates this to the backend.
    let outbound = ConntrackEntry {
        original: tuple("10.0.0.5:40000", "1.2.3.4:1"),
        reply: tuple("10.96.0.10:80", "10.0.0.5:40000"),
        ..entry()
    };
    let own = NamespaceResult::LookedUp(LookupResult::Found(outbound));
    let app = request(outbound.original, Role::Client);
    assert_eq!(host_tuple(&app, &own), Some(entry().original));
    let findings = Findings { own, ..host_says(entry(), at(105)) };
    let whole = Translation { original: end("1.2.3.4:1"), ..translation() };
    assert_eq!(conclude(&app, &findings, None), Outcome::To(whole));
}

/// *Scenario*: loopback addresses in a pod and in the host's namespace; a namespace that cannot be entered.
/// *Guarantees*: a pod's loopback is never looked up in the host's namespace. If a namespace cannot be entered, only the host's
/// translations are known.
#[test]
fn loopback_belongs_to_one_namespace() {
    let loopback = request(tuple("127.0.0.1:1", "127.0.0.1:2"), Role::Client);
    assert_eq!(host_tuple(&loopback, &NamespaceResult::Nothing), None);
    assert_eq!(host_tuple(&loopback, &NamespaceResult::LookedUp(LookupResult::Missing)), None);
    assert_eq!(host_tuple(&loopback, &NamespaceResult::Host), Some(loopback.tuple));
    let closed = Findings { own: NamespaceResult::Closed, ..missing(at(105)) };
    assert_eq!(conclude(&client(), &closed, None), Outcome::Unknown(Reason::Namespace));
    let closed = Findings { own: NamespaceResult::Closed, ..host_says(entry(), at(105)) };
    assert_eq!(conclude(&client(), &closed, None), Outcome::To(translation()));
}
