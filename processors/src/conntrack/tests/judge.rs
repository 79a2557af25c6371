use super::*;
use crate::conntrack::judge::{conclude, host_tuple};
use crate::conntrack::request::{Outcome, Reason};

fn missing(time: UnixNanos) -> Findings {
    Findings { own: Found::Nothing, host: Found::Looked(Looked::Missing), at: time }
}

/// *Scenario*: client and server of a translated connection, and a socket whose role nobody knows, on either side.
/// *Guarantees*: all get the same translation.
#[test]
fn both_ends_find_the_same_translation() {
    let unknown = |tuple| Request { role: Role::Unknown, ..request(tuple, Role::Unknown) };
    for request in [client(), server(), unknown(entry().original), unknown(entry().reply)] {
        assert_eq!(conclude(&request, &host_says(entry(), at(105)), None), Outcome::To(translation()));
    }
}

/// *Scenario*: an entry that is tracked and not translated, seen from either end, also by tracking that took the server for the client.
/// *Guarantees*: the same addresses at both ends.
#[test]
fn tracked_is_not_translated() {
    let plain = Entry { reply: entry().original.reversed(), ..entry() };
    for tuple in [plain.original, plain.reply] {
        for role in [Role::Client, Role::Server, Role::Unknown] {
            let outcome = conclude(&request(tuple, role), &host_says(plain, at(105)), None);
            assert_eq!(outcome, Outcome::Same);
        }
    }
}

/// *Scenario*: no entry: soon after a sign of life, long after the last one, soon after the end, long after it, after a refused open.
/// *Guarantees*: not tracked where an entry would surely be kept, gone otherwise.
#[test]
fn a_missing_entry_means_untranslated_only_while_it_would_be_kept() {
    let gone = Outcome::Unknown(Reason::Gone);
    assert_eq!(conclude(&client(), &missing(at(106)), None), Outcome::Same);
    assert_eq!(conclude(&client(), &missing(at(111)), None), gone);
    assert_eq!(conclude(&client(), &missing(at(112)), Some(at(110))), Outcome::Same);
    assert_eq!(conclude(&client(), &missing(at(116)), Some(at(110))), gone);
    let refused = Request { failed: true, ended: Some(at(105)), ..client() };
    assert_eq!(conclude(&refused, &missing(at(105)), refused.ended), gone);
}

/// *Scenario*: the kernel keeps no times; an entry is read after the connection's end, in each of TCP's states; and before its end.
/// *Guarantees*: a closing entry is its own, an open one is a successor's; what was read before the end is its own in any state.
#[test]
fn after_the_end_an_open_entry_is_a_successors() {
    let in_state = |state| Entry { state, ..entry() };
    let (before, after) = (at(109), at(111));
    let ended = Some(at(110));
    for state in [TrackedState::Opening, TrackedState::Answered, TrackedState::Established] {
        let outcome = conclude(&server(), &host_says(in_state(Some(state)), after), ended);
        assert_eq!(outcome, Outcome::Unknown(Reason::Reused));
    }
    let closing = in_state(Some(TrackedState::Closing));
    assert_eq!(conclude(&server(), &host_says(closing, after), ended), Outcome::To(translation()));
    assert_eq!(conclude(&server(), &host_says(entry(), before), ended), Outcome::To(translation()));
    // An established socket whose entry has seen no answer: somebody else's.
    let opening = in_state(Some(TrackedState::Opening));
    assert_eq!(conclude(&client(), &host_says(opening, before), None), Outcome::Unknown(Reason::Reused));
}

/// *Scenario*: an open that failed by timeout: its entry is still opening.
/// *Guarantees*: it is its own.
#[test]
fn a_failed_open_keeps_its_entry() {
    let request = Request { failed: true, state: TcpState::SynSent, ended: Some(at(110)), ..client() };
    let opening = Entry { state: Some(TrackedState::Opening), ..entry() };
    assert_eq!(conclude(&request, &host_says(opening, at(111)), request.ended), Outcome::To(translation()));
}

/// *Scenario*: the kernel keeps times; the entry began before the client opened, with it, long after it, after its end; and for a server,
/// whose socket is made when the handshake is over.
/// *Guarantees*: only what began within the connection's life is its own, whatever TCP's state.
#[test]
fn times_tell_whose_entry_it_is() {
    let started = |time: u64| host_says(Entry { started: Some(UnixNanos(time)), ..entry() }, at(111));
    let reused = Outcome::Unknown(Reason::Reused);
    let own = Outcome::To(translation());
    let ended = Some(at(110));
    assert_eq!(conclude(&client(), &started(99 * SECOND), ended), reused);
    assert_eq!(conclude(&client(), &started(100 * SECOND + 1), ended), own);
    assert_eq!(conclude(&client(), &started(107 * SECOND), ended), own);
    assert_eq!(conclude(&client(), &started(111 * SECOND), ended), reused);
    // So near to the end that clocks cannot tell: an open entry is a successor's.
    assert_eq!(conclude(&client(), &started(110 * SECOND + SECOND / 100), ended), reused);
    assert_eq!(conclude(&server(), &started(99 * SECOND), ended), own);
    assert_eq!(conclude(&server(), &started(0), ended), own);
    assert_eq!(conclude(&server(), &started(111 * SECOND), ended), reused);
}

/// *Scenario*: the entry's client is the record's server.
/// *Guarantees*: a translation is not read backwards.
#[test]
fn a_contradicting_role_is_not_believed() {
    let request = Request { role: Role::Server, ..client() };
    assert_eq!(conclude(&request, &host_says(entry(), at(105)), None), Outcome::Unknown(Reason::Reused));
}

/// *Scenario*: an entry that has nothing to do with the question; an answer that made no sense.
/// *Guarantees*: unknown.
#[test]
fn nonsense_is_unknown() {
    let other = Entry { original: tuple("1.1.1.1:1", "2.2.2.2:2"), ..entry() };
    let other = Entry { reply: tuple("3.3.3.3:3", "1.1.1.1:1"), ..other };
    assert_eq!(conclude(&client(), &host_says(other, at(105)), None), Outcome::Unknown(Reason::Failed));
    let failed = Findings { host: Found::Looked(Looked::Failed), ..missing(at(105)) };
    assert_eq!(conclude(&client(), &failed, None), Outcome::Unknown(Reason::Failed));
}

/// *Scenario*: a proxy in the pod takes the client's connection to a cluster IP by a redirect; another's redirect stands before a server
/// that the host translates to as well.
/// *Guarantees*: packets that stay inside are not looked for outside; two translations are put together, in either direction.
#[test]
fn translations_inside_and_outside_are_put_together() {
    let redirect = Entry {
        original: tuple("10.0.0.5:40000", "10.96.0.10:80"),
        reply: tuple("127.0.0.1:15001", "10.0.0.5:40000"),
        ..entry()
    };
    let own = Found::Looked(Looked::Found(redirect));
    let app = request(redirect.original, Role::Client);
    let proxy = request(redirect.reply, Role::Server);
    for request in [app, proxy] {
        assert_eq!(host_tuple(&request, &own), None);
        let findings = Findings { own, host: Found::Nothing, at: at(105) };
        assert_eq!(conclude(&request, &findings, None), Outcome::To(redirect.translation().unwrap()));
    }

    // Inbound: the host sends to 10.0.1.7:8080, the pod's redirect to its port 15006.
    let inbound = Entry {
        original: tuple("192.168.0.1:50000", "10.0.1.7:8080"),
        reply: tuple("10.0.1.7:15006", "192.168.0.1:50000"),
        ..entry()
    };
    let own = Found::Looked(Looked::Found(inbound));
    let sidecar = request(inbound.reply, Role::Server);
    assert_eq!(host_tuple(&sidecar, &own), Some(entry().reply));
    let findings = Findings { own, ..host_says(entry(), at(105)) };
    let whole = Translation { backend: end("10.0.1.7:15006"), ..translation() };
    assert_eq!(conclude(&sidecar, &findings, None), Outcome::To(whole));

    // Outbound: the pod's own rule sends 1.2.3.4:1 to the cluster IP, the host that to the backend.
    let outbound = Entry {
        original: tuple("10.0.0.5:40000", "1.2.3.4:1"),
        reply: tuple("10.96.0.10:80", "10.0.0.5:40000"),
        ..entry()
    };
    let own = Found::Looked(Looked::Found(outbound));
    let app = request(outbound.original, Role::Client);
    assert_eq!(host_tuple(&app, &own), Some(entry().original));
    let findings = Findings { own, ..host_says(entry(), at(105)) };
    let whole = Translation { original: end("1.2.3.4:1"), ..translation() };
    assert_eq!(conclude(&app, &findings, None), Outcome::To(whole));
}

/// *Scenario*: loopback addresses in a pod and in the host's namespace; a namespace that cannot be entered.
/// *Guarantees*: a pod's loopback is never looked for in the host's; what cannot be entered leaves unknown what the host does not tell.
#[test]
fn loopback_belongs_to_one_namespace() {
    let loopback = request(tuple("127.0.0.1:1", "127.0.0.1:2"), Role::Client);
    assert_eq!(host_tuple(&loopback, &Found::Nothing), None);
    assert_eq!(host_tuple(&loopback, &Found::Looked(Looked::Missing)), None);
    assert_eq!(host_tuple(&loopback, &Found::Host), Some(loopback.tuple));
    let closed = Findings { own: Found::Closed, ..missing(at(105)) };
    assert_eq!(conclude(&client(), &closed, None), Outcome::Unknown(Reason::Namespace));
    let closed = Findings { own: Found::Closed, ..host_says(entry(), at(105)) };
    assert_eq!(conclude(&client(), &closed, None), Outcome::To(translation()));
}
