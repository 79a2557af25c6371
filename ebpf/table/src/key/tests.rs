use super::Key;

/// Scenario: a slot is reserved, published for a socket, freed, for as many turns as there are tags and one more.
/// Guarantees: each state is recognized, the address comes back whole, and the same key returns only when all tags were used.
#[test]
fn a_key_tells_its_state_address_and_turn() {
    let mut key = Key(0);
    let mut seen = [0; 513];
    for published in &mut seen {
        // The least and the greatest address of a kernel with five levels of page tables.
        for address in [0xff00_0000_0000_0008, 0xffff_ffff_ffff_fff8] {
            assert!(key.is_free() && key.address().is_none() && !key.holds(address));
            assert!(!key.filling().is_free() && key.filling().address().is_none());
            let held = key.filling().published(address);
            assert!(!held.is_free() && held.holds(address) && !held.holds(address ^ 8));
            assert_eq!((held.published_bit(), key.published_bit(), key.filling().published_bit()), (1, 0, 0));
            assert_eq!(held.address(), Some(address));
            *published = held.0;
        }
        key = key.filling().published(0xff00_0000_0000_0008).freed();
    }
    assert_eq!(seen[512], seen[0]);
    assert!(seen[1..512].iter().all(|key| *key != seen[0]));
}
