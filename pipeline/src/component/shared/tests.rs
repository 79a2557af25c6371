use super::*;

/// *Scenario*: the first call fails to make a value; two more calls follow, and one for another type.
/// *Guarantees*: a failure is returned and not stored; each type has one value, which is made once.
#[test]
fn one_of_each_type() {
    let shared = Shared::default();
    assert_eq!(shared.get_or_make::<u32, _>(|| Err("not now")), Err("not now"));
    let first = shared.get_or_make::<u32, ()>(|| Ok(1)).unwrap();
    let second = shared.clone().get_or_make::<u32, ()>(|| Ok(2)).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(*shared.get_or_make::<u64, ()>(|| Ok(3)).unwrap(), 3);
}
