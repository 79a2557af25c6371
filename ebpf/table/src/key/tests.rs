use super::Key;

/// *Scenario*: a slot is reserved, published for a socket and freed, once more often than there are tags.
/// *Guarantees*: each state is recognized, the key returns the whole address, and a key recurs only after all tags were used.
#[test]
fn a_key_contains_state_address_and_tag() {
    let mut key = Key(0);
    let mut seen = [0; 513];
    for published in &mut seen {
        // The lowest and the highest address of a kernel with five levels of page tables.
        for address in [0xff00_0000_0000_0008, 0xffff_ffff_ffff_fff8] {
            assert!(key.is_free() && key.address().is_none() && !key.is_published_for(address));
            assert!(!key.claimed().is_free() && key.claimed().address().is_none());
            let used = key.claimed().published(address);
            assert!(!used.is_free() && used.is_published_for(address) && !used.is_published_for(address ^ 8));
            assert_eq!((used.published_bit(), key.published_bit(), key.claimed().published_bit()), (1, 0, 0));
            assert_eq!(used.address(), Some(address));
            *published = used.0;
        }
        key = key.claimed().published(0xff00_0000_0000_0008).freed();
    }
    assert_eq!(seen[512], seen[0]);
    assert!(seen[1..512].iter().all(|key| *key != seen[0]));
}
