use super::*;

/// Starts to admit a client and stops, as when a handshake ends while the client waits.
async fn interrupted_admit(connections: &Arc<OpenConnections>) {
    tokio::select! {
        biased;
        _ = connections.admit() => panic!("no permit is free"),
        () = std::future::ready(()) => {}
    }
}

fn evicted(admissions: &[Admission]) -> Vec<u64> {
    admissions.iter().filter(|one| one.evicted.is_cancelled()).map(|one| one.number).collect()
}

/// *Scenario*: all permits are in use. The wait of a new client is interrupted several times before the evicted connection has closed; then a
/// second client comes.
/// *Guarantees*: each client evicts one connection, the one that has been idle for the longest time.
#[tokio::test(start_paused = true)]
async fn one_client_evicts_one_connection() {
    let connections = OpenConnections::new(4);
    let mut admitted = Vec::new();
    for _ in 0..4 {
        admitted.push(connections.admit().await);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
    for _ in 0..3 {
        interrupted_admit(&connections).await;
    }
    assert_eq!(evicted(&admitted), [0]);
    admitted.remove(0);
    admitted.push(connections.admit().await);
    interrupted_admit(&connections).await;
    assert_eq!(evicted(&admitted), [1]);
}
