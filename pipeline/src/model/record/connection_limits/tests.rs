use proptest::prelude::*;

use super::*;

fn limits() -> impl Strategy<Value = Limits> {
    let count = prop_oneof![Just(None), Just(Some(0)), any::<u64>().prop_map(Some)];
    prop::array::uniform7(count.prop_map(OptionalCount::from)).prop_map(Limits::of_fields)
}

proptest! {
    /// *Scenario*: any numbers: absent, zero or other ones, in totals and deltas.
    /// *Guarantees*: they are returned as they were stored. Absent ones stay absent, zeros stay zeros.
    #[test]
    fn numbers_are_returned_as_they_were_stored(
        total in limits(), delta in limits(), ssthresh in any::<u32>(), zero_window in any::<bool>(),
    ) {
        let details = LimitDetails { total, delta, ssthresh: NonZeroU32::new(ssthresh), zero_window, ..LimitDetails::default() };
        let stored = ConnectionLimits::new(details);
        prop_assert_eq!(stored.details(), details);
        prop_assert_eq!(stored.delta(), delta);
    }

    /// *Scenario*: a connection that nothing has limited, of kernels with any of the fields.
    /// *Guarantees*: the record needs no allocation, and the fields that the kernel has are 0.
    #[test]
    fn a_connection_without_limits_needs_no_allocation(known in 0..128u8) {
        let zeros = Limits::zeros(known);
        let stored = ConnectionLimits::new(LimitDetails { total: zeros, delta: zeros, ..LimitDetails::default() });
        prop_assert!(stored.details.is_none());
        let fields = stored.delta().fields().map(OptionalCount::get);
        let expected: [Option<u64>; 7] = std::array::from_fn(|bit| (known >> bit & 1 == 1).then_some(0));
        prop_assert_eq!(fields, expected);
    }
}
